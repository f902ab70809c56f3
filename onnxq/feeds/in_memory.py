"""Samples that a Python program holds: arrays, lists, iterables, and functions that make these."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from onnxq.diagnostics import OnnxqError, error, first_line
from onnxq.feeds.checks import Alike
from onnxq.feeds.fitting import Cut, cut, numbered, require_names, require_type, sample
from onnxq.feeds.numbering import Numbering
from onnxq.feeds.samples import InputSpec, Sample
from onnxq.feeds.source import EndOfDataError, Reader, ReadWhole
from onnxq.feeds.stream import Stream, can_be_called, ending, read_once
from onnxq.feeds.values import named
from onnxq.user_code import exception_text

# A path, an array of samples, arrays by input name, samples, or a function that makes samples.
DataSource = (
    str | os.PathLike[str] | Mapping[str, Any] | Iterable[Any] | Callable[[], Iterable[Any]]
)
NAME: Final = "data"  # what errors call it


class Iterated:
    """An iterable, or a function that makes one, over which passes are begun."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self._last: Iterator[Any] | None = None

    @property
    def length(self) -> int | None:
        """Number of items, where the data tells it."""
        try:
            return len(self._data)
        except (TypeError, NotImplementedError):  # a DataLoader of a dataset without a length
            return None

    @property
    def once(self) -> bool:
        """Whether it is an iterator itself."""
        return hasattr(self._data, "__next__")

    def begin(self) -> Iterator[Any]:
        """Yield the items of a pass. Errors: OQ421 for a second pass over an iterator, OQ422."""
        iterator, is_iterable = self._iterator()
        if not is_iterable and iterator is self._last:
            raise read_once("it was read before")
        self._last, count = iterator, 0
        while True:
            try:
                item = next(iterator)
            except StopIteration:
                break
            except Exception as reason:
                raise _raised(f"{NAME}[{count}]", reason) from reason
            yield item
            count += 1
        if not count and iterator is self._data:
            raise read_once("nothing is left in it")

    def _iterator(self) -> tuple[Iterator[Any], bool]:
        """A new iterator, and whether it is another object than what it was made from."""
        data = self._data
        try:
            iterable = data() if can_be_called(data) else data
            iterator = iter(ending(iterable))
        except Exception as reason:
            in_data = reason.__traceback__ is not None and reason.__traceback__.tb_next is not None
            if in_data or not isinstance(reason, TypeError):
                raise _raised(NAME, reason) from reason
            raise error(
                "OQ421",
                f"the data, of type {type(data).__name__}, gives no samples: {first_line(reason)}",
                fix="give a list, a DataLoader, or a function without arguments that makes one",
            ) from reason
        return iterator, iterator is not iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class InMemory(ReadWhole):
    """Samples in a list, or in arrays that are cut; `items` hold one sample or several each."""

    items: Sequence[Any]
    names: tuple[str, ...]
    cuts: tuple[Cut, ...]
    inputs: tuple[InputSpec, ...]
    threads: int = 1

    @property
    def length(self) -> int:
        """Number of samples in all items."""
        return sum(how.count for how in self.cuts)

    def reader(self) -> Reader:
        """Samples are read in any order."""
        numbering = Numbering(how.count for how in self.cuts)

        def read(number: int) -> Sample:
            if number >= numbering.length:
                raise EndOfDataError
            item, index = numbering.place(number)
            name, how = self.names[item], self.cuts[item]
            arrays = named(name, self.items[item], self.inputs)
            return sample(numbered(name, how, index), how.sample(arrays, index), self.inputs)

        return read

    def require_alike(self, numbers: Sequence[int]) -> None:
        """The shapes are known (OQ424)."""
        alike = Alike(self.inputs)
        for item, index in Numbering(how.count for how in self.cuts).first_in_each(numbers):
            how = self.cuts[item]
            alike.require(numbered(self.names[item], how, index), how.shapes)


def for_passes(source: DataSource | Iterated) -> DataSource | Iterated:
    """Wrap what is iterated, so that each opening knows of the passes before it."""
    if isinstance(source, str | os.PathLike | Iterated) or _is_held(source):
        return source
    return Iterated(source)


def open_in_memory(data: Any, inputs: tuple[InputSpec, ...], *, ragged: bool) -> InMemory | Stream:
    """Look at what there is. Errors: OQ401 no sample, OQ403 names, OQ404 shapes, OQ423 types.

    An array, and a mapping of arrays by input name, are cut as .npy and .npz files are: rows are
    samples where the first dimension is dynamic. In lists and iterables each item is as `values`
    takes it, and one sample unless it has more rows than the model's fixed batch.
    """
    if isinstance(data, Iterated):
        return Stream(
            name=NAME,
            begin=data.begin,
            inputs=inputs,
            ragged=ragged,
            items=data.length,
            once=data.once,
        )
    if isinstance(data, list | tuple):
        names = tuple(f"{NAME}[{index}]" for index in range(len(data)))
        source = _held(data, names, inputs, rows=False)
    else:
        source = _held((named(NAME, data, inputs),), (NAME,), inputs, rows=True)
    if not source.length:
        raise error("OQ401", "the data holds no sample", fix="give one at least")
    return source


def _is_held(data: Any) -> bool:
    return hasattr(data, "__array__") or isinstance(data, Mapping | list | tuple)


def _held(
    items: Sequence[Any], names: tuple[str, ...], inputs: tuple[InputSpec, ...], *, rows: bool
) -> InMemory:
    """Check names and types, and cut all items; arrays are converted again when they are read."""
    cuts = []
    for name, item in zip(names, items, strict=True):
        arrays = named(name, item, inputs)
        require_names(name, arrays, inputs)
        for spec in inputs:
            require_type(name, arrays[spec.name].dtype, spec)
        cuts.append(cut(name, {n: a.shape for n, a in arrays.items()}, inputs, rows=rows))
    return InMemory(items=items, names=names, cuts=tuple(cuts), inputs=inputs)


def _raised(where: str, reason: Exception) -> OnnxqError:
    return error(
        "OQ422",
        f"the data raised {exception_text(reason)} at '{where}'",
        fix="correct the code that makes it; the exception is the cause of this one",
    )
