"""Samples from a Python file: a function that yields them, or an iterable such as a DataLoader.

The file is run, so it must be named: folders are not searched for one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from onnxq.diagnostics import did_you_mean, error, first_line
from onnxq.feeds.samples import InputSpec
from onnxq.feeds.stream import Stream, can_be_called, ending
from onnxq.user_code import OwnFolder, is_raised_in, named_in, raised_by, run_file

FUNCTION: Final = "load_data"  # as in Polygraphy's data loader scripts


def open_loader(
    file: Path, function: str, inputs: tuple[InputSpec, ...], *, ragged: bool
) -> Stream:
    """Samples that `function` of a file gives; the file is run anew for each pass."""
    begin = partial(_items, file, function or FUNCTION)
    return Stream(name=str(file), begin=begin, inputs=inputs, ragged=ragged)


def _items(file: Path, function: str) -> Iterator[Any]:
    """Yield what the file yields (OQ421, OQ422)."""
    folder = OwnFolder()
    with folder.entered():
        iterator = _iterator(file, function)
    while True:
        with folder.entered():
            try:
                item = next(iterator)
            except StopIteration:
                return
            except KeyboardInterrupt:
                raise
            except BaseException as reason:  # SystemExit and CancelledError are no Exceptions
                raise raised_by(file, reason, "the loader", code="OQ422") from reason
        yield item


def _iterator(file: Path, function: str) -> Iterator[Any]:
    try:
        module = run_file(file)
    except (Exception, SystemExit) as reason:
        raise raised_by(file, reason, "the loader", code="OQ422") from reason
    if not hasattr(module, function):
        raise error(
            "OQ421",
            f"'{file}' has no '{function}'",
            fix=did_you_mean(
                function, named_in(module), otherwise=f"name its function: {file}:FUNCTION"
            ),
        )
    data, shown = getattr(module, function), f"{file}:{function}"
    try:
        iterator: Iterator[Any] = iter(ending(data() if can_be_called(data) else data))
    except (Exception, SystemExit) as reason:
        if is_raised_in(file, reason) or not isinstance(reason, TypeError):
            raise raised_by(file, reason, "the loader", code="OQ422") from reason
        raise error(
            "OQ421",
            f"'{shown}' gives no samples: {first_line(reason)}",
            fix="make it a function without arguments that yields samples, or an iterable",
        ) from reason
    if iterator is data:
        raise error(
            "OQ421",
            f"'{shown}' is an iterator, which can be read only once",
            fix="name a function that makes it",
        )
    return iterator
