"""What the end of a metric's process means, as an error with the line of the user's code."""

from __future__ import annotations

import linecache
import math
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from onnxq.diagnostics import OnnxqError, Span, error
from onnxq.tuning.metrics.process import Loss, LostError

_FRAME: Final = re.compile(r'File "(.+)", line (\d+) in ')
_AT_LIMIT: Final = "Timeout"  # how faulthandler begins
_LINES: Final = 3
_LONGEST: Final = 200  # characters of what was printed


def lost(
    how: Loss, code: int | None, trace: str, *, file: str, doing: str, limit_s: float
) -> OnnxqError:
    """OQ493 for a metric that took too long, OQ494 for one whose process is lost otherwise.

    `code` is the exit code, None when it was alive; `doing` says what it was at: " at 'a.png'".
    """
    span = _span(trace, file)
    if trace.startswith(_AT_LIMIT) or how == "silent":
        fix = "make it faster, or give it more time"
        return error("OQ493", f"the metric took more than {limit_s:g} s{doing}", fix=fix, span=span)
    if how == "garbled" or code is None:
        message, fix = "broke the connection to its process", "leave open files of others alone"
    elif code < 0:
        message, fix = f"crashed ({_signal(-code)})", "correct it, or the library that it calls"
        if code == -signal.SIGKILL:
            fix = "let it hold less in memory, if the system killed it for that"
    else:
        message, fix = f"ended its process (exit code {code})", "let it return a number instead"
    return error("OQ494", f"the metric {message}{doing}", fix=fix, span=span)


def sent(message: Any) -> OnnxqError:
    """The error that the process sent (LostError for what is none: anybody can write to it)."""
    try:
        code, text, fix = (str(message[key]) for key in ("code", "message", "fix"))
        at = message["span"]
        span = at and Span(
            file=str(at["file"]),
            line=int(at["line"]),
            column=int(at["column"]),
            source=str(at["source"]),
        )
    except (KeyError, TypeError, ValueError):
        raise LostError("garbled") from None
    if code not in ("OQ490", "OQ491", "OQ492"):
        raise LostError("garbled")
    return error(code, text, fix=fix, span=span or None)


def sent_number(value: Any) -> float:
    """The number that the process sent (LostError for what is none)."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise LostError("garbled")
    return float(value)


def extended(reason: OnnxqError, text: str) -> OnnxqError:
    """The error with more in its message."""
    (diagnostic,) = reason.diagnostics
    return OnnxqError(replace(diagnostic, message=f"{diagnostic.message}{text}"))


def after_printing(lines: list[str]) -> str:
    """What was printed last, for a message; empty for nothing."""
    text = " | ".join(lines[-_LINES:])
    text = text if len(text) <= _LONGEST else f"...{text[-_LONGEST:]}"
    return f", after it printed '{text}'" if text else ""


def _span(trace: str, file: str) -> Span | None:
    """The innermost line of the file in a trace of faulthandler."""
    path = Path(file).resolve()
    for name, line in _FRAME.findall(trace):
        if Path(name) == path:
            source = linecache.getline(str(path), int(line)).rstrip("\n")
            column = len(source) - len(source.lstrip()) + 1
            return Span(file=file, line=int(line), column=column, source=source)
    return None


def _signal(number: int) -> str:
    numbers = {s.value for s in signal.Signals}
    return signal.Signals(number).name if number in numbers else f"signal {number}"
