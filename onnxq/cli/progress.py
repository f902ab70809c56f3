"""How long work shows that it goes on: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from onnxq.progress import OnProgress, Progress

if TYPE_CHECKING:
    from rich.console import Console

_LINE_EVERY: Final = 30.0  # seconds


@contextmanager
def shown(out: Console, err: Console, *, quiet: bool) -> Iterator[OnProgress]:
    """Yield what shows the events of a call: notes on `out`, bars, lines and urgent notes on `err`.

    When `quiet` only urgent notes are shown.
    """
    bars = _Bars(err) if err.is_terminal and not quiet else None
    lines = None if quiet or bars else _Lines(err)

    def show(event: Progress) -> None:
        if event.note:
            if event.urgent or not quiet:
                (err if event.urgent else out).print(event.note)
        elif bars is not None:
            bars.show(event)
        elif lines is not None:
            lines.show(event)

    try:
        yield show
    finally:
        if bars is not None:
            bars.stop()


class _Bars:
    """One bar, of the stage that goes on; it disappears when the stage ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage = ""
        self._bar: Any = None
        self._task: Any = None

    def show(self, event: Progress) -> None:
        if event.stage != self._stage:
            self.stop()
            self._stage = event.stage
            self._bar = _bar(self._console, counted=event.total is not None or event.done > 0)
            self._bar.start()
            self._task = self._bar.add_task(event.stage, total=event.total)
        self._bar.update(self._task, completed=event.done, total=event.total)

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._stage = None, ""


def _bar(console: Console, *, counted: bool) -> Any:
    from rich import progress as rich
    from rich.text import Text

    class Rate(rich.ProgressColumn):
        def render(self, task: rich.Task) -> Text:
            return Text(f"{task.speed:.1f}/s" if task.speed else "")

    steps = (rich.MofNCompleteColumn(), Rate(), rich.TimeRemainingColumn())
    rest = steps if counted else (rich.TimeElapsedColumn(),)
    columns = ("{task.description}", rich.BarColumn(), *rest)
    return rich.Progress(*columns, console=console, transient=True)


class _Lines:
    """Plain lines for a log."""

    def __init__(self, console: Console) -> None:
        self._console, self._stage = console, ""
        self._before = 0
        self._began = self._printed = -math.inf

    def show(self, event: Progress) -> None:
        now = time.monotonic()
        if event.stage != self._stage:  # the first event has what a resumed run had done before
            self._stage, self._before = event.stage, event.done
            self._began = self._printed = now
        if now - self._printed < _LINE_EVERY or event.done == self._before:
            return
        self._printed = now
        rate = (event.done - self._before) / (now - self._began)
        text = f"{event.stage}: {event.done}"
        if event.total:
            left = (event.total - event.done) / rate
            text += f" of {event.total}, {rate:.1f}/s, {_span(left)} left"
        else:
            text += f", {rate:.1f}/s"
        self._console.print(text)


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
