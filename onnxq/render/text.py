"""Diagnostics as text, and formats that all text uses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from onnxq.diagnostics import Diagnostic, Severity, Span

T = TypeVar("T")

COLOR: Final = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_ALIKE: Final = {Severity.ERROR: 5, Severity.WARNING: 5, Severity.INFO: 1}

_LONG: Final = 10  # lines of a list that is not requested in full


def cut(items: Sequence[T], *, everything: bool, most: int = _LONG) -> tuple[Sequence[T], str]:
    """The first items of a long list, and a line with the number of the others, else ''."""
    left = len(items) - most
    if everything or left < 2:  # the line would replace a single item
        return items, ""
    return items[:most], f"... {left:,} more; --all shows them"


def figure(value: float | None, form: str = ".4g") -> str:
    """A number, or '-' for an unknown one."""
    return "-" if value is None else format(value, form)


def diagnostics(
    console: Console, reported: Iterable[Diagnostic], *, everything: bool = True
) -> None:
    """Print diagnostics as a compiler does: place, code, message, fix, the line and a caret.

    Without `everything`, only the first few of those with one code and one fix are printed.
    """
    kinds: dict[object, list[Diagnostic]] = {}
    for index, d in enumerate(reported):
        kinds.setdefault(index if everything else (d.severity, d.code, d.fix), []).append(d)
    for same_kind in kinds.values():
        first = same_kind[0]
        shown, _ = cut(same_kind, everything=everything, most=_ALIKE[first.severity])
        for d in shown:
            _diagnostic(console, d)
        if more := len(same_kind) - len(shown):
            head = Text(f"{first.severity}[{first.code}]", COLOR[first.severity])
            console.print(head.append(f": and {more:,} more like it; --all shows them"))


def _diagnostic(console: Console, d: Diagnostic) -> None:
    color = COLOR[d.severity]
    where = f"{one_line(str(d.span))}: " if d.span else ""
    line = Text(where).append(f"{d.severity}[{d.code}]", color)
    line.append(f": {one_line(d.message)}; {one_line(d.fix)}")
    console.print(line)
    if d.span and d.span.source.strip():
        source, before = _window(d.span)
        console.print(Text(f"  {source}"), soft_wrap=True)
        console.print(Text(f"  {' ' * cell_len(before)}^", color), soft_wrap=True)


def in_width(printed: object, console: Console) -> Iterator[object]:
    """Text in lines that fit the console, broken between words; anything else as it is.

    Lines but the first are indented by two columns more; a longer word, such as a path, is whole.
    """
    text = Text(printed) if isinstance(printed, str) else printed
    if not isinstance(text, Text):
        yield printed
        return
    for line in text.split(allow_blank=True):
        indent = len(line.plain) - len(line.plain.lstrip()) + 2
        for number, part in enumerate(line.divide(_breaks(line.plain, console.width, indent))):
            part.rstrip()
            yield Text(" " * indent).append_text(part) if number else part


def _breaks(text: str, width: int, indent: int) -> Iterator[int]:
    """Where the lines after the first begin."""
    used = 0
    for word in re.finditer(r"\s*\S+", text):
        used += cell_len(word[0])
        if used > width and word.start():
            yield word.end() - len(word[0].lstrip())
            used = indent + cell_len(word[0].lstrip())


def one_line(text: str) -> str:
    """Untrusted text as one line without control characters."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return _ENDLESS.sub(lambda word: f"{word[0][:80]}...{word[0][-20:]}", shown)


_ENDLESS: Final = re.compile(r"\S{300,}")
_WIDTH: Final = 160


def _window(span: Span) -> tuple[str, str]:
    """The source line, or the part of a very long one near the column; and the text before it."""
    source = "".join(c if c.isprintable() else " " for c in span.source.rstrip())
    at = span.column - 1
    if len(source) <= _WIDTH:
        return source, source[:at].ljust(at)
    begin = max(min(at - _WIDTH // 2, len(source) - _WIDTH), 0)
    shown = source[begin : begin + _WIDTH]
    head = "... " if begin else ""
    tail = " ..." if begin + _WIDTH < len(source) else ""
    return f"{head}{shown}{tail}", f"{head}{source[begin:at]}"


def share(value: float) -> str:
    """A share as a percentage; 0.0% and 100.0% mean exactly none and all."""
    text = f"{value:.1%}"
    if text == "100.0%" and value < 1:
        return ">99.9%"
    return "<0.1%" if text == "0.0%" and value > 0 else text
