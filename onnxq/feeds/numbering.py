"""The numbers of samples that lie in several parts: files, or items of a list."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence


class Numbering:
    """Consecutive numbers, from 0, of the samples in parts that hold so many each."""

    __slots__ = ("_firsts",)

    def __init__(self, counts: Iterable[int]) -> None:
        self._firsts = [0, *itertools.accumulate(counts)]

    @property
    def length(self) -> int:
        """Number of samples in all parts."""
        return self._firsts[-1]

    def place(self, number: int) -> tuple[int, int]:
        """The part that holds a sample, and the sample's number in it."""
        part = bisect_right(self._firsts, number) - 1
        return part, number - self._firsts[part]

    def first_in_each(self, numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
        """The place of the first of some ascending numbers in each part that holds any."""
        for part, (begin, end) in enumerate(itertools.pairwise(self._firsts)):
            at = bisect_left(numbers, begin)
            if at < len(numbers) and numbers[at] < end:
                yield part, numbers[at] - begin
