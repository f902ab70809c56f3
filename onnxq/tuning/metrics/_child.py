"""The program that runs a metric of the user.

    python -m onnxq.tuning.metrics._child FILE FUNCTION TRACE

Lines of JSON come on standard input, and answers go to standard output. Both move to other file
descriptors first: what the user's code prints goes to standard error, and it has no input. TRACE
gets the lines of code at which a crash or the time limit ended the process. Every message to the
program that started this one is answered by it, or by `result` or `error` at the end of a call.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from onnxq.diagnostics import Diagnostic, OnnxqError, error
from onnxq.passed_arrays import load_arrays
from onnxq.tuning.metrics.calling import (
    ARGUMENTS,
    Arrays,
    MetricSample,
    Runner,
    score_of,
    takes_runner,
)
from onnxq.user_code import function_in, raised_by

_LONGEST: Final = 1000  # characters of a message
_OWN: Final = {"OQ490", "OQ492"}  # codes of errors that the user's code does not raise


class Connection:
    """Messages to the program that started this one, whose end ends this process.

    The time of the user's code is limited; while the other program works, the clock stands still.
    """

    def __init__(self, trace: Path) -> None:
        self._trace = trace.open("wb", buffering=0)  # faulthandler needs it open
        faulthandler.enable(self._trace)
        self._process, self._turn, self._limit = os.getpid(), threading.Lock(), 0.0
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._replies = os.fdopen(os.dup(1), "wb")
        requests = os.fdopen(os.dup(0), "rb")
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)
        for stream in (sys.stdout, sys.stderr):  # so that a crash loses no line
            stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
        threading.Thread(target=self._listen, args=(requests,), daemon=True).start()

    def _listen(self, requests: Any) -> None:
        with suppress(OSError):
            for line in requests:
                self._lines.put(line)
            if hasattr(os, "killpg") and os.getpgrp() == self._process:
                os.killpg(self._process, signal.SIGKILL)  # with what the user's code started
        os._exit(1)

    def request(self) -> dict[str, Any]:
        """Wait for the next call; its time begins."""
        request: dict[str, Any] = json.loads(self._lines.get())
        self._limit = request["limit"]
        self._begin()
        return request

    def ask(self, **question: Any) -> dict[str, Any]:
        """Ask the other program something in the middle of a call."""
        with self._turn:
            self.send(**question)
            answer: dict[str, Any] = json.loads(self._lines.get())
            self._begin()
        return answer

    def send(self, **message: Any) -> None:
        """Stop the clock and send a message; a process that the user's code forked ends here."""
        if os.getpid() != self._process:
            os._exit(1)
        faulthandler.cancel_dump_traceback_later()
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # the user may have closed or replaced it
                stream.flush()
        try:
            self._replies.write(json.dumps(message).encode() + b"\n")
            self._replies.flush()
        except OSError:
            os._exit(1)

    def _begin(self) -> None:
        with suppress(ValueError):  # the user closed it; the other program has a clock too
            faulthandler.dump_traceback_later(self._limit, exit=True, file=self._trace)


def main(file: str, name: str, trace: str) -> None:
    """Load the function, then call it as often as it is asked for."""
    path, connection = Path(file).absolute(), Connection(Path(trace))
    sys.argv = [file]
    connection.send(started=True)
    connection.request()
    try:
        named = f"define {name}({ARGUMENTS}) in it, or name another: {file}:FUNCTION"
        function = function_in(Path(file), name, ARGUMENTS, "the metric", "OQ490", otherwise=named)
        is_whole = takes_runner(function, name)
    except BaseException as reason:
        connection.send(error=_failure(reason, file, path, code="OQ490"))
        return
    connection.send(result=0)
    while True:
        runner = Runner(_items(connection), connection.request()["samples"])
        try:
            score = score_of(function, runner, is_whole=is_whole)
        except BaseException as reason:
            connection.send(error=_failure(reason, file, path, code="OQ491", place=runner.place))
        else:
            connection.send(result=score)


def _items(connection: Connection) -> Iterator[tuple[Arrays, MetricSample]]:
    while "name" in (answer := connection.ask(want="next")):
        outputs, number = load_arrays(answer["file"]), answer["number"]
        fetch = partial(_inputs, connection, answer["index"])
        yield (
            outputs,
            MetricSample(name=answer["name"], number=number, count=answer["count"], fetch=fetch),
        )


def _inputs(connection: Connection, index: int) -> Arrays:
    file = Path(connection.ask(want="inputs", index=index)["file"])
    try:
        return load_arrays(file)
    finally:
        file.unlink()


def _failure(
    reason: BaseException, file: str, path: Path, *, code: str, place: str = ""
) -> dict[str, Any]:
    """A diagnostic in plain values; `path` is that of the file in whatever folder this is."""
    diagnostic = _diagnostic(reason, path, code, place)
    span = diagnostic.span
    if span is not None:
        shown = file if Path(span.file).resolve() == path.resolve() else span.file
        span = dataclasses.replace(span, file=shown, source=span.source[:_LONGEST])
    message = diagnostic.message[:_LONGEST].encode("utf-8", "backslashreplace").decode()
    return {
        "code": diagnostic.code,
        "message": message,
        "fix": diagnostic.fix,
        "span": None if span is None else dataclasses.asdict(span),
    }


def _diagnostic(reason: BaseException, path: Path, code: str, place: str) -> Diagnostic:
    if isinstance(reason, OnnxqError) and {d.code for d in reason.diagnostics} & _OWN:
        return reason.diagnostics[0]
    try:
        raised = raised_by(path, reason, "the metric", code=code)
    except Exception:  # it cannot be shown
        raised = error(code, f"the metric raised {type(reason).__name__}", fix="correct it")
    (diagnostic,) = raised.diagnostics
    return dataclasses.replace(diagnostic, message=f"{diagnostic.message}{place}")


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # whatever threads the user's code began
