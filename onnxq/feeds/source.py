"""What every form of data is to a feed: numbered samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from onnxq.feeds.samples import Sample

Reader = Callable[[int], Sample]


class SampleSource(Protocol):
    """A form of data. `length` is None when it is known only at the end.

    `threads` says how many may read at once; with 1 the numbers ascend, and each is read after
    those before it.
    """

    @property
    def length(self) -> int | None:
        """Number of samples."""

    @property
    def expected(self) -> int | None:
        """Where `length` is None: how many samples there should be, if that can be told."""

    @property
    def threads(self) -> int:
        """How many threads may read at once."""

    def reader(self) -> Reader:
        """Begin a pass: a function from a number to the sample.

        It raises EndOfDataError beyond the last, and LeftOutError for one that cannot be used.
        """

    def identity(self, number: int, read: Reader) -> tuple[str, str]:
        """Return the name and the digest of a sample, which is read only if it must be."""

    def require_alike(self, numbers: Sequence[int]) -> None:
        """Raise OQ424 where it is known before reading that these samples differ in shape."""


class ReadWhole:
    """A source whose samples are known once they are read."""

    __slots__ = ()

    @property
    def expected(self) -> int | None:
        """No guess."""
        return None

    def identity(self, number: int, read: Reader) -> tuple[str, str]:
        """Read it."""
        sample = read(number)
        return sample.name, sample.digest

    def require_alike(self, numbers: Sequence[int]) -> None:
        """Nothing is known."""


class EndOfDataError(Exception):
    """There is no sample of that number."""


class LeftOutError(Exception):
    """A sample cannot be read, and the others can: `file` and why."""

    def __init__(self, file: str, why: str) -> None:
        super().__init__(f"'{file}' was left out: {why}")
        self.file = file
