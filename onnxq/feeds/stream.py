"""Samples that come one after the other, from a Python file or from an iterable in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from onnxq.diagnostics import OnnxqError, error
from onnxq.feeds.checks import Alike
from onnxq.feeds.fitting import samples
from onnxq.feeds.samples import InputSpec, Sample
from onnxq.feeds.source import EndOfDataError, Reader, ReadWhole
from onnxq.feeds.values import named


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream(ReadWhole):
    """Samples whose number shows only at the end.

    `begin` begins a pass over the items, each with one sample or several; it raises OQ421 and
    OQ422. Errors call the items `name[0]`, `name[1]` ... There should be `items` of them, if that
    is known; `once` for an iterator, which permits one pass. Shapes may differ when `ragged`.
    """

    name: str
    begin: Callable[[], Iterator[Any]]
    inputs: tuple[InputSpec, ...]
    ragged: bool = False
    items: int | None = None
    once: bool = False
    length: None = None
    threads: int = 1

    @property
    def expected(self) -> int | None:
        """The items, where each is one sample whatever its number of rows."""
        one_each = all(i.any_rank or i.shape[:1] == (None,) for i in self.inputs)
        return self.items if one_each else None

    def require_again(self) -> None:
        """An iterator permits no further pass (OQ421)."""
        if self.once:
            raise read_once("several passes over it are needed")

    def reader(self) -> Reader:
        """Begin anew, so that every pass yields the same."""
        return _Pass(self).read


class _Pass:
    """Samples in their order; those between the numbers asked for are checked too (OQ424)."""

    def __init__(self, stream: Stream) -> None:
        self.samples = _samples(stream)
        self.alike = None if stream.ragged else Alike(stream.inputs)
        self.next = 0

    def read(self, number: int) -> Sample:
        for sample in self.samples:
            self.next += 1
            if self.alike is not None:
                shapes = {name: array.shape for name, array in sample.tensors.items()}
                self.alike.require(sample.name, shapes)
            if self.next > number:
                return sample
        raise EndOfDataError


def _samples(stream: Stream) -> Iterator[Sample]:
    for index, item in enumerate(stream.begin()):
        where = f"{stream.name}[{index}]"
        arrays = named(where, item, stream.inputs)
        # Samples are read ahead, and many loaders fill one buffer again and again.
        own = {name: array.copy() for name, array in arrays.items()}
        yield from samples(where, own, stream.inputs)


def read_once(why: str) -> OnnxqError:
    """The error that the data is an iterator, and why that is not enough (OQ421)."""
    return error(
        "OQ421",
        f"the data is an iterator, which can be read only once, and {why}",
        fix="give a list, or a function that makes it",
    )


def can_be_called(data: Any) -> bool:
    """True for functions and classes; an iterable that can be called too is used as it is."""
    return isinstance(data, type) or (callable(data) and not hasattr(data, "__iter__"))


def ending(data: Any) -> Any:
    """The data, of which a length ends the items where it has them by number alone.

    Such are the datasets of torch. Python asks them for items until one raises IndexError, which
    those that compute their items never do.
    """
    if hasattr(data, "__iter__") or not hasattr(data, "__getitem__"):
        return data
    try:
        length = len(data)
    except (TypeError, NotImplementedError):
        return data
    return (data[index] for index in range(length))
