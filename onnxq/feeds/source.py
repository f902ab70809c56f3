"""The interface of all forms of data to a feed: numbered samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from onnxq.feeds.samples import Sample

Reader = Callable[[int], Sample]


class SampleSource(Protocol):
    """Numbered samples in some form. `length` is None when only the end shows it.

    `threads` says how many may read at once; with 1 the numbers ascend, and each is read after
    those before it.
    """

    @property
    def length(self) -> int | None:
        """Number of samples."""

    @property
    def expected(self) -> int | None:
        """Where `length` is None: the number of samples to expect, if that is known."""

    @property
    def threads(self) -> int:
        """How many threads may read at once."""

    def reader(self) -> Reader:
        """Begin a pass: a function from a number to the sample.

        It raises EndOfDataError beyond the last, and LeftOutError for a sample that is unusable.
        """

    def identity(self, number: int, read: Reader) -> tuple[str, str]:
        """Return the name and the digest of a sample, without reading it where that is possible."""

    def require_again(self) -> None:
        """Raise OQ421 if a further pass will be impossible."""

    def require_alike(self, numbers: Sequence[int]) -> None:
        """Raise OQ424 if it is known before reading that the shapes of these samples differ."""


class ReadWhole:
    """A source that knows nothing of its samples before it reads them."""

    __slots__ = ()

    @property
    def expected(self) -> int | None:
        """Not known."""
        return None

    def identity(self, number: int, read: Reader) -> tuple[str, str]:
        """Read it."""
        sample = read(number)
        return sample.name, sample.digest

    def require_again(self) -> None:
        """Files can be read again."""

    def require_alike(self, numbers: Sequence[int]) -> None:
        """Shapes are not known yet."""


class EndOfDataError(Exception):
    """There is no sample of that number."""


class LeftOutError(Exception):
    """A sample is left out because its `file` cannot be read; the others are used."""

    def __init__(self, file: str, why: str) -> None:
        super().__init__(f"'{file}' was left out: {why}")
        self.file = file
