"""Diagnostics and tables as text."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onnxq.diagnostics import Diagnostic, Severity

_COLOR = {Severity.ERROR: "red", Severity.WARNING: "yellow"}


def diagnostics(console: Console, found: Iterable[Diagnostic]) -> None:
    """Print diagnostics as a compiler does: place, code, message, fix, the line and a caret."""
    for d in found:
        color = _COLOR[d.severity]
        where = f"{escape(str(d.span))}: " if d.span else ""
        head = f"[{color}]{d.severity}\\[{d.code}][/{color}]"
        console.print(f"{where}{head}: {escape(d.message)}; {escape(d.fix)}", soft_wrap=True)
        if d.span and d.span.source.strip():
            console.print(f"  {escape(d.span.source.rstrip())}", soft_wrap=True, highlight=False)
            caret = " " * (d.span.column - 1) + "^"
            console.print(f"  [{color}]{caret}[/{color}]", soft_wrap=True)


def diagnostic_dict(d: Diagnostic) -> dict[str, object]:
    """A diagnostic for JSON."""
    span = None
    if d.span:
        span = {"file": d.span.file, "line": d.span.line, "column": d.span.column}
    return {
        "code": d.code,
        "severity": str(d.severity),
        "message": d.message,
        "fix": d.fix,
        "span": span,
    }


def table(*columns: str) -> Table:
    """A plain table: the first column left, the others right."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    return made
