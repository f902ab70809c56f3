"""Which samples to compare on: others than those of the calibration, where there are enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from onnxq.calibration.statistics import Statistics, short_digests
from onnxq.diagnostics import OnnxqError
from onnxq.feeds import Feed
from onnxq.feeds.samples import Sample

ENOUGH: Final = 8  # unused samples with which to do without the others


@dataclass(frozen=True, slots=True, kw_only=True)
class DataUse:
    """The samples of a comparison: how many were `compared`, how many of those had been `used` for
    calibration, and how many were `left_out` because they had been, and others were there.

    `used` is None when that is not known: the calibration of a Q/DQ model was not found, or it was
    not made by onnxq.
    """

    compared: int
    used: int | None
    left_out: int = 0


class Unused:
    """The samples of a feed that no calibration used, or all where they are fewer than `ENOUGH`.

    The feed is read once to find out, and again each time that this is iterated. What was used is
    not known when one of `calibrations` is not (None), or preprocessed pictures otherwise.
    """

    def __init__(self, feed: Feed, calibrations: Sequence[Statistics | None]) -> None:
        self._feed = feed
        self.calibration = next((c for c in calibrations if c is not None), None)
        how = "" if feed.preprocess is None else feed.preprocess.model_dump_json()
        known = [c for c in calibrations if c is not None and _comparable(c, how)]
        self._is_known = bool(known) and len(known) == len(calibrations)
        self._digests = frozenset(d for c in known for d in c.sample_digests)
        flags = [self._was_used(sample) for sample in feed] if self._is_known else []
        used, fresh = flags.count(True), flags.count(False)
        self._fresh_only = used > 0 and fresh >= ENOUGH
        self._left_out = used if self._fresh_only else 0
        self._used, self._compared = used - self._left_out, 0

    @property
    def length(self) -> int | None:
        """How many samples an iteration gives; None when only the end tells."""
        return None if self._feed.length is None else self._feed.length - self._left_out

    def __iter__(self) -> Iterator[Sample]:
        self._compared = 0
        for sample in self._feed:
            if not (self._fresh_only and self._was_used(sample)):
                self._compared += 1
                yield sample

    @property
    def use(self) -> DataUse:
        """What the last iteration gave."""
        used = self._used if self._is_known else None
        return DataUse(compared=self._compared, used=used, left_out=self._left_out)

    def _was_used(self, sample: Sample) -> bool:
        return not self._digests.isdisjoint(short_digests(sample.digests))


def _comparable(calibration: Statistics, preprocess: str) -> bool:
    """Whether digests tell: pictures that were preprocessed otherwise have others."""
    return bool(calibration.sample_digests) and calibration.preprocess == preprocess


def find_calibration(digest: str, qdq_path: Path, given: Path | None = None) -> Statistics | None:
    """The calibration of a Q/DQ model by its digest: `given`, or beside the model, or here."""
    if given is not None:
        return Statistics.load(given)
    if not digest:
        return None
    folders = dict.fromkeys(p.resolve() for p in (qdq_path.parent, Path()))
    for file in (f for folder in folders for f in sorted(folder.glob("*.calib.npz"))):
        try:
            found = Statistics.load(file)
        except OnnxqError:  # a damaged file beside is no reason to fail
            continue
        if found.digest == digest:
            return found
    return None
