"""Which samples to compare on: others than those of the calibration, where there are enough."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
    """The samples of a feed that no calibration used; all of them when those are below `ENOUGH`.

    An iteration gives unused samples as they come and passes over the others, so the feed is read
    once; only when too few were unused is it read again, for the others. What was used is not known
    when one of `calibrations` is None, or preprocessed pictures otherwise.
    """

    def __init__(self, feed: Feed, calibrations: Sequence[Statistics | None]) -> None:
        self.feed = feed
        how = "" if feed.preprocess is None else feed.preprocess.model_dump_json()
        comparable = [c for c in calibrations if c is not None and _comparable(c, how)]
        self._is_known = bool(comparable) and len(comparable) == len(calibrations)
        self._digests = frozenset(d for c in comparable for d in c.sample_digests)
        self._use = DataUse(compared=0, used=None)

    @property
    def length(self) -> int | None:
        """How many samples an iteration gives at most; None when only the end tells."""
        return self.feed.length

    def __iter__(self) -> Iterator[Sample]:
        unused = used = 0
        for sample in self.feed:
            if self._was_used(sample):
                used += 1
                continue
            unused += 1
            yield sample
        again = used if unused < ENOUGH else 0
        for sample in self.feed if again else ():
            if self._was_used(sample):
                yield sample
        self._use = DataUse(
            compared=unused + again,
            used=again if self._is_known else None,
            left_out=used - again,
        )

    @property
    def use(self) -> DataUse:
        """What the last whole iteration gave."""
        return self._use

    def _was_used(self, sample: Sample) -> bool:
        return self._is_known and not self._digests.isdisjoint(short_digests(sample.digests))


def _comparable(calibration: Statistics, preprocess: str) -> bool:
    """True when digests tell: pictures that were preprocessed otherwise have other digests."""
    return bool(calibration.sample_digests) and calibration.preprocess == preprocess


def matching_calibration(digest: str, folders: Iterable[Path]) -> Statistics | None:
    """The calibration with a digest among the `*.calib.npz` files of some folders."""
    if not digest:
        return None
    for folder in dict.fromkeys(f.resolve() for f in folders):
        for file in sorted(folder.glob("*.calib.npz")):
            try:
                statistics = Statistics.load(file)
            except OnnxqError:  # a damaged file beside the model is no reason to fail
                continue
            if statistics.digest == digest:
                return statistics
    return None
