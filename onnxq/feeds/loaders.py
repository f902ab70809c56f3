"""Samples from a Python file: a function that yields them, or an iterable such as a DataLoader.

The file is run, so it must be named: folders are not searched for one.
"""

from __future__ import annotations

import importlib.util
import linecache
import re
import sys
import traceback
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from onnxq.diagnostics import OnnxqError, Span, did_you_mean, error, first_line
from onnxq.feeds.samples import InputSpec
from onnxq.feeds.stream import Stream, can_be_called, exception_text, in_worker

FUNCTION: Final = "load_data"  # as in Polygraphy's data loader scripts
_IN_TRACE: Final = re.compile(r'File "(.+)", line (\d+)')


def open_loader(
    file: Path, function: str, inputs: tuple[InputSpec, ...], *, ragged: bool
) -> Stream:
    """Samples that `function` of a file gives; the file is run anew for each pass."""
    begin = partial(_items, file, function or FUNCTION)
    return Stream(name=str(file), begin=begin, inputs=inputs, ragged=ragged)


def _items(file: Path, function: str) -> Iterator[Any]:
    """Yield what the file yields (OQ421, OQ422)."""
    iterator = _iterator(file, function)
    try:
        yield from iterator
    except (Exception, SystemExit) as reason:
        raise raised_by(file, reason) from reason


def _iterator(file: Path, function: str) -> Iterator[Any]:
    try:
        module = run_file(file)
    except (Exception, SystemExit) as reason:
        raise raised_by(file, reason) from reason
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
        iterator: Iterator[Any] = iter(data() if can_be_called(data) else data)
    except (Exception, SystemExit) as reason:
        if _frames(file, reason) or not isinstance(reason, TypeError):
            raise raised_by(file, reason) from reason
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


def function_in(file: Path, name: str, arguments: str, what: str, code: str) -> Any:
    """A function of a Python file, which the error `code` reports where there is none.

    `what` the function is, and its `arguments`, stand in the error.
    """
    if not file.is_file():
        raise error(code, f"there is no file '{file}'", fix=f"give one with '{name}'")
    try:
        module = run_file(file)
    except (Exception, SystemExit) as reason:
        raise raised_by(file, reason, what, code=code) from reason
    function = getattr(module, name, None)
    if not callable(function):
        define = f"define {name}({arguments}) in it"
        raise error(
            code,
            f"'{file}' has no function '{name}'",
            fix=did_you_mean(name, named_in(module), otherwise=define),
        )
    return function


def named_in(module: Any) -> set[str]:
    """The public names of a module."""
    return {name for name in vars(module) if not name.startswith("_")}


def run_file(file: Path) -> Any:
    """Import the file under its own name, with its folder on the path, as Python runs a script."""
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    linecache.checkcache(str(file))
    taken = getattr(sys.modules.get(file.stem), "__file__", None) != str(file.resolve())
    name = f"onnxq_loader_{file.stem}" if file.stem in sys.modules and taken else file.stem
    spec = importlib.util.spec_from_file_location(name, file.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that worker processes of a DataLoader find its classes
    spec.loader.exec_module(module)
    return module


def raised_by(
    file: Path, reason: BaseException, what: str = "the loader", *, code: str = "OQ422"
) -> OnnxqError:
    """What the code of a file raised, with its line."""
    span = None
    if trace := in_worker(reason):
        places = [line for name, line in _IN_TRACE.findall(trace) if Path(name).name == file.name]
        span = _span(file, int(places[-1])) if places else None
    elif isinstance(reason, SyntaxError) and reason.lineno:
        span = _span(Path(reason.filename or file), reason.lineno, reason.offset or 1)
    elif frames := _frames(file, reason):
        span = _span(file, frames[-1].lineno or 1, (frames[-1].colno or 0) + 1)
    message = f"{what} raised {exception_text(reason)}"
    return error(code, message, fix="correct it", span=span)


def _frames(file: Path, reason: BaseException) -> list[traceback.FrameSummary]:
    own = str(file.resolve())
    return [f for f in traceback.extract_tb(reason.__traceback__) if f.filename == own]


def _span(file: Path, line: int, column: int = 1) -> Span:
    source = linecache.getline(str(file.resolve()), line).rstrip("\n")
    column = max(column, len(source) - len(source.lstrip()) + 1)
    return Span(file=str(file), line=line, column=column, source=source)
