"""Samples from a Python file: a function that yields them, or an iterable such as a DataLoader.

The file is run, so only when it is named: no folder is searched for one.
"""

from __future__ import annotations

import importlib.util
import linecache
import re
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from onnxq.diagnostics import OnnxqError, Span, did_you_mean, error, first_line
from onnxq.feeds.checks import Alike
from onnxq.feeds.fitting import samples
from onnxq.feeds.samples import InputSpec, Sample
from onnxq.feeds.source import EndOfDataError, Reader, ReadWhole
from onnxq.feeds.values import named

FUNCTION: Final = "load_data"  # as in Polygraphy's data loader scripts
_IN_WORKER: Final = re.compile(r'File "(.+)", line (\d+)')  # torch tells a worker's error as text


@dataclass(frozen=True, slots=True, kw_only=True)
class Loader(ReadWhole):
    """A file, and what in it gives the samples, whose shapes may differ when `ragged`."""

    file: Path
    function: str
    inputs: tuple[InputSpec, ...]
    ragged: bool = False
    length: None = None
    threads: int = 1

    def reader(self) -> Reader:
        """Run the file anew, so that every pass yields the same."""
        return _Pass(self).read


class _Pass:
    """Samples in their order; those between the numbers asked for are looked at (OQ424)."""

    def __init__(self, loader: Loader) -> None:
        self.samples = _samples(loader)
        self.alike = None if loader.ragged else Alike(loader.inputs)
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


def _samples(loader: Loader) -> Iterator[Sample]:
    values = _iterator(loader)
    index = 0
    while True:
        try:
            value = next(values)
        except StopIteration:
            return
        except (Exception, SystemExit) as reason:
            raise _raised(loader.file, reason) from None
        where = f"{loader.file}[{index}]"
        arrays = named(where, value, loader.inputs)
        yield from samples(where, arrays, loader.inputs)
        index += 1


def _iterator(loader: Loader) -> Iterator[Any]:
    try:
        module = _run(loader.file)
    except (Exception, SystemExit) as reason:
        raise _raised(loader.file, reason) from None
    shown = f"{loader.file}:{loader.function}"
    known = {name for name, value in vars(module).items() if not name.startswith("_")}
    if not hasattr(module, loader.function):
        raise error(
            "OQ421",
            f"'{loader.file}' has no '{loader.function}'",
            fix=did_you_mean(
                loader.function, known, otherwise=f"name its function: {loader.file}:FUNCTION"
            ),
        )
    found = getattr(module, loader.function)
    try:
        values: Iterator[Any] = iter(found() if _makes(found) else found)
    except TypeError as reason:
        if _frames(loader.file, reason):
            raise _raised(loader.file, reason) from None
        raise error(
            "OQ421",
            f"'{shown}' gives no samples: {first_line(reason)}",
            fix="make it a function without arguments that yields samples, or an iterable",
        ) from None
    except (Exception, SystemExit) as reason:
        raise _raised(loader.file, reason) from None
    if values is found:
        raise error(
            "OQ421",
            f"'{shown}' can be read only once",
            fix="name the function that makes it",
        )
    return values


def _makes(found: Any) -> bool:
    """True for functions and classes; an iterable that can be called too is used as it is."""
    return isinstance(found, type) or (callable(found) and not hasattr(found, "__iter__"))


def _run(file: Path) -> Any:
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


def _raised(file: Path, reason: BaseException) -> OnnxqError:
    """What the loader raised, with its line (OQ422)."""
    told, span = first_line(reason), None
    kind = type(reason).__name__
    text = str(reason)
    if "Original Traceback" in text:
        kind, _, told = text.strip().splitlines()[-1].partition(": ")
        places = [line for name, line in _IN_WORKER.findall(text) if Path(name).name == file.name]
        span = _span(file, int(places[-1])) if places else None
    elif isinstance(reason, SyntaxError) and reason.lineno:
        span = _span(Path(reason.filename or file), reason.lineno, reason.offset or 1)
    elif frames := _frames(file, reason):
        span = _span(file, frames[-1].lineno or 1, (frames[-1].colno or 0) + 1)
    what = kind if told in ("", kind) else f"{kind}: {told}"
    return error("OQ422", f"the loader raised {what}", fix="correct it", span=span)


def _frames(file: Path, reason: BaseException) -> list[traceback.FrameSummary]:
    own = str(file.resolve())
    return [f for f in traceback.extract_tb(reason.__traceback__) if f.filename == own]


def _span(file: Path, line: int, column: int = 1) -> Span:
    source = linecache.getline(str(file.resolve()), line).rstrip("\n")
    column = max(column, len(source) - len(source.lstrip()) + 1)
    return Span(file=str(file), line=line, column=column, source=source)
