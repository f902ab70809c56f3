"""How long work shows that it goes on: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from rich.console import Console

_LINE_EVERY: Final = 30.0  # seconds


class Step(Protocol):
    """What is called as work goes on."""

    def __call__(self, done: int = 1, passes: int = 1) -> None:
        """Say that `done` more are done; the work goes `passes` times over all of them."""


@contextmanager
def progress(
    console: Console, what: str, total: int | None, *, quiet: bool, then: str = ""
) -> Iterator[Step]:
    """Yield what to call after each step; `total` is None when nobody knows how many there are.

    `then` is what comes behind the last step and takes no steps, for a terminal to show.
    """
    if quiet:
        yield lambda done=1, passes=1: None
    elif console.is_terminal:
        with _bar(console, what, total, then) as step:
            yield step
    else:
        yield _Lines(console, what, total)


@contextmanager
def _bar(console: Console, what: str, total: int | None, then: str) -> Iterator[Step]:
    from rich import progress as rich
    from rich.text import Text

    class Rate(rich.ProgressColumn):
        def render(self, task: rich.Task) -> Text:
            return Text(f"{task.speed:.1f}/s" if task.speed else "")

    counted = (rich.MofNCompleteColumn(), Rate(), rich.TimeRemainingColumn())
    columns = ("{task.description}", rich.BarColumn(), *counted)
    with rich.Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(what, total=total)

        def step(done: int = 1, passes: int = 1) -> None:
            bars.update(task, advance=done, total=total and total * passes)
            if then and bars.tasks[task].finished:
                bars.columns = (*columns[:2], rich.TimeElapsedColumn())
                bars.reset(task, description=then, total=None)

        yield step


class _Lines:
    """Plain lines for a log."""

    def __init__(self, console: Console, what: str, total: int | None) -> None:
        self._console, self._what, self._total = console, what, total
        self._done = self._before = 0
        self._began = self._told = -math.inf

    def __call__(self, done: int = 1, passes: int = 1) -> None:
        self._done += done
        now = time.monotonic()
        if self._began == -math.inf:  # the first call tells what a resumed run had done before
            self._began = self._told = now
            self._before = self._done
        if now - self._told < _LINE_EVERY or self._done == self._before:
            return
        self._told = now
        rate = (self._done - self._before) / (now - self._began)
        text = f"{self._what}: {self._done}"
        if self._total:
            left = (self._total * passes - self._done) / rate
            text += f" of {self._total * passes}, {rate:.1f}/s, {_span(left)} left"
        else:
            text += f", {rate:.1f}/s"
        self._console.print(text)


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
