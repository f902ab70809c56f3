"""The samples to compare on: those not used for calibration, if there are enough."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from onnxq.calibration.statistics import Statistics, short_digests
from onnxq.diagnostics import OnnxqError
from onnxq.feeds import Feed
from onnxq.feeds.samples import Sample

ENOUGH: Final = 8  # with this many unused samples, used ones are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class DataUse:
    """The numbers of samples that were `compared`, of those among them that were `used` for
    calibration, and of those that were `left_out` because they were used for calibration.

    `used` is None when it is unknown: the calibration of a Q/DQ model was not found, or onnxq did
    not make the model.
    """

    compared: int
    used: int | None
    left_out: int = 0


class UnusedSamples:
    """The samples of a feed that no calibration used; all of them when those are below `ENOUGH`.

    An iteration yields the unused samples and skips the others; the feed is read a second time, for
    the skipped ones, only when too few were unused. Which samples were used is unknown when one of
    `calibrations` is None or used another preprocessing.
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
        """The highest number of samples that an iteration yields; None if not known in advance."""
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
        """The counts of the last complete iteration."""
        return self._use

    def _was_used(self, sample: Sample) -> bool:
        return self._is_known and not self._digests.isdisjoint(short_digests(sample.digests))


def _comparable(calibration: Statistics, preprocess: str) -> bool:
    """True when digests can be compared: they depend on the preprocessing of pictures."""
    return bool(calibration.sample_digests) and calibration.preprocess == preprocess


def matching_calibration(digest: str, folders: Iterable[Path]) -> Statistics | None:
    """The calibration with this digest among the `*.calib.npz` files of the folders."""
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
