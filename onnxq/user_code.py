"""Code of the user in a Python file: its functions, and the line of what it raises.

The file is run, so somebody must have named it.
"""

from __future__ import annotations

import importlib.util
import linecache
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Final

from onnxq.diagnostics import OnnxqError, Span, did_you_mean, error, first_line, message_of

_IN_TRACE: Final = re.compile(r'File "(.+)", line (\d+)')
_Call = Callable[..., Any]
_IN_WORKER: Final = "Original Traceback"  # torch reports the error of a worker process as text


def function_in(
    file: Path, name: str, arguments: str, what: str, code: str, *, otherwise: str = ""
) -> Any:
    """A function of a Python file, which the error `code` reports where there is none.

    `what` the function is, and its `arguments`, stand in the error; `otherwise` is what to do when
    no name in the file is like that of the function.
    """
    if not file.is_file():
        raise error(code, f"there is no file '{file}'", fix=f"give one with '{name}'")
    try:
        module = run_file(file)
    except (Exception, SystemExit) as reason:
        raise raised_by(file, reason, what, code=code) from reason
    function = getattr(module, name, None)
    if not callable(function):
        define = otherwise or f"define {name}({arguments}) in it"
        others = named_in(module) - {name}
        raise error(
            code,
            f"'{file}' has no function '{name}'",
            fix=did_you_mean(name, others, otherwise=define),
        )
    return function


class OwnFolder:
    """The working folder of code that changes it: outside of that code it is that of onnxq.

    Relative paths of the outputs would lead elsewhere otherwise.
    """

    def __init__(self) -> None:
        self._changed: str | None = None

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Run code in the folder that it went to before, if any."""
        ours = os.getcwd()
        if self._changed is not None:
            os.chdir(self._changed)
        try:
            yield
        finally:
            now = _working_folder()
            self._changed = now if now != ours else None
            if now != ours:
                os.chdir(ours)


def guarded(function: _Call, file: Path | None, what: str, code: str) -> _Call:
    """The function, whose working folder is its own and whose errors are those of the file.

    `what` it is, and the `code` of its errors, are as for `raised_by`. What a function without a
    file raises passes through, as Ctrl-C does.
    """
    folder = OwnFolder()

    @wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            with folder.entered():
                return function(*arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as reason:  # SystemExit and GeneratorExit are no Exceptions
            if file is None:
                raise
            raise raised_by(file, reason, what, code=code) from reason

    return call


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed
        return None


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


def raised_by(file: Path, reason: BaseException, what: str, *, code: str) -> OnnxqError:
    """The error `code`: `what`, such as the loss, raised an exception in a file, at its line."""
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


def is_raised_in(file: Path, reason: BaseException) -> bool:
    """Whether the exception passed through the code of the file."""
    return bool(_frames(file, reason))


def _frames(file: Path, reason: BaseException) -> list[traceback.FrameSummary]:
    own = str(file.resolve())
    return [f for f in traceback.extract_tb(reason.__traceback__) if f.filename == own]


def _span(file: Path, line: int, column: int = 1) -> Span:
    source = linecache.getline(str(file.resolve()), line).rstrip("\n")
    column = max(column, len(source) - len(source.lstrip()) + 1)
    return Span(file=str(file), line=line, column=column, source=source)


def in_worker(reason: BaseException) -> str:
    """The traceback in the worker process of a DataLoader, or '' when it happened in none."""
    text = message_of(reason)
    return text if _IN_WORKER in text else ""


def exception_text(reason: BaseException) -> str:
    """The type and the first line of an exception, as Python prints them."""
    kind, message = type(reason).__name__, first_line(reason)
    if trace := in_worker(reason):
        kind, _, message = trace.strip().splitlines()[-1].partition(": ")
    return kind if message in ("", kind) else f"{kind}: {message}"
