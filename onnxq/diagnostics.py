"""Every message onnxq can give: coded, located where possible, and ending in what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, get_args

from onnxq.codes import CODES

_CPP_PLACE: Final = re.compile(r"(?<!\S)\S+\.(?:cc|cpp|h):\d+:?\s*")


class Severity(StrEnum):
    """How much a diagnostic matters."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A place in a text file: one-based line and column, and the line itself.

    A recipe made in Python has no lines: there `file` is its name, `path` is the place of a key or
    value, such as `rules[0].match`, and line and column are 0.
    """

    file: str
    line: int
    column: int
    source: str = ""
    path: str = ""

    @property
    def place(self) -> str:
        """File and line, or name and path, without the column."""
        return ":".join(filter(None, (self.file, str(self.line or self.path))))

    def __str__(self) -> str:
        return f"{self.place}:{self.column}" if self.line else self.place


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding: what is wrong (`message`) and what to do about it (`fix`)."""

    code: str
    message: str
    fix: str
    severity: Severity = Severity.ERROR
    span: Span | None = None

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise AssertionError(f"diagnostic code {self.code} is not in the table")

    def __str__(self) -> str:
        where = f"{self.span}: " if self.span else ""
        return f"{where}{self.severity}[{self.code}]: {self.message}; {self.fix}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        span: dict[str, object] | None = None
        if self.span is not None:
            span = {"file": self.span.file, "line": self.span.line, "column": self.span.column}
            span |= {"path": self.span.path} if self.span.path else {}
        return {
            "code": self.code,
            "severity": str(self.severity),
            "message": self.message,
            "fix": self.fix,
            "span": span,
        }


class OnnxqError(Exception):
    """The input cannot be used. Holds every diagnostic found, most of them errors."""

    exit_code = 2

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("\n".join(str(d) for d in diagnostics))
        self.diagnostics = diagnostics


class BackendMissingError(OnnxqError):
    """A backend that was asked for by name is not installed."""

    exit_code = 3


def error(code: str, message: str, *, fix: str, span: Span | None = None) -> OnnxqError:
    """Build (not raise) an error that holds one diagnostic."""
    return OnnxqError(Diagnostic(code=code, message=message, fix=fix, span=span))


def warning(code: str, message: str, *, fix: str, span: Span | None = None) -> Diagnostic:
    """Build a warning."""
    return Diagnostic(code=code, message=message, fix=fix, severity=Severity.WARNING, span=span)


def first_line(reason: BaseException) -> str:
    """What an exception of a library says, in one line and without the place in its C++ source."""
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower()
    lines = (_CPP_PLACE.sub("", line).strip() for line in message_of(reason).splitlines())
    return next(filter(None, lines), type(reason).__name__)


def message_of(reason: BaseException) -> str:
    """The text of an exception, or '' where a class of the user fails to make it."""
    try:
        return str(reason)
    except Exception:
        return ""


def counted(number: int, noun: str) -> str:
    """Return "1 sample", "2 samples"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """Return "did you mean 'x'?" for the nearest known word, else `otherwise` or all of them."""
    choices = sorted(known)
    if not choices:
        return otherwise or "leave it out: there is none"
    near = difflib.get_close_matches(word[:80], choices, n=1, cutoff=0.65)
    if near:
        return f"did you mean '{near[0]}'?"
    return otherwise or f"use one of: {', '.join(choices)}"


def require_choice(option: str, value: object, choices: Any) -> None:
    """Raise OQ217 unless a value is one of the words of a Literal."""
    words = get_args(choices)
    if value not in words:
        message = f"{option}={value!r} does not exist"
        raise error("OQ217", message, fix=did_you_mean(str(value), words))


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """True when one of them is an error."""
    return any(d.severity is Severity.ERROR for d in diagnostics)
