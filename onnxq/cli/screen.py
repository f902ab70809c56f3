"""Where a verb prints: the result on stdout, and all else on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

import typer

from onnxq.cli import options, progress, stdout
from onnxq.diagnostics import Diagnostic
from onnxq.progress import OnProgress

if TYPE_CHECKING:
    from rich.console import Console


class Result(Protocol):
    """What a function of the library returns."""

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What there is to report beside the result."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""


class CheckedResult(Result, Protocol):
    """A result that may miss what it had to reach."""

    @property
    def passed(self) -> bool:
        """False when a check failed."""


@dataclass(kw_only=True, eq=False)
class Screen(AbstractContextManager["Screen"]):
    """The options on output; what is printed while it is entered goes where it belongs."""

    as_json: options.Json = False
    _result: TextIO = field(init=False)
    _open: ExitStack = field(init=False, default_factory=ExitStack)

    def __enter__(self) -> Self:
        self._result = self._open.enter_context(stdout.kept_for_results())
        return self

    def __exit__(self, *raised: object) -> None:
        self._open.close()

    @property
    def is_silent(self) -> bool:
        """Whether people read nothing but warnings and errors."""
        return self.as_json

    @cached_property
    def out(self) -> Console:
        """The console for results."""
        return console(file=self._result, quiet=self.is_silent)

    @cached_property
    def err(self) -> Console:
        """The console for progress and warnings."""
        return console(stderr=True)

    def progress(self) -> AbstractContextManager[OnProgress]:
        """Show how work goes on."""
        return progress.shown(self.out, self.err, quiet=self.is_silent)

    def diagnose(self, diagnostics: Iterable[Diagnostic], *, everything: bool = True) -> None:
        """Print diagnostics; unless `everything` is asked for, a few of a kind stand for all."""
        from onnxq import render

        render.diagnostics(self.err, diagnostics, everything=everything)

    def show(self, result: Result, *, everything: bool = True) -> None:
        """Print a result for people and its diagnostics, or the whole as JSON."""
        from onnxq import render

        self.diagnose(result.diagnostics, everything=everything)
        if self.as_json:
            self.json(result.to_dict())
        elif not self.is_silent:
            render.show(result, self.out, everything=everything)

    def json(self, value: Mapping[str, Any]) -> None:
        """Print plain values, if machines read the output."""
        if self.as_json:
            self._result.write(f"{json.dumps(value, indent=2, allow_nan=False)}\n")


@dataclass(kw_only=True, eq=False)
class QuietScreen(Screen):
    """A screen that --quiet leaves empty."""

    quiet: options.Quiet = False

    @property
    def is_silent(self) -> bool:
        """Whether people read nothing but warnings and errors."""
        return self.as_json or self.quiet

    def show_checked(self, result: CheckedResult, checks: options.Checks) -> None:
        """Print a result with a report, and exit with 1 unless it passed."""
        self.show(result, everything=checks.everything)
        if checks.html is not None:
            self.out.print(f"page: {checks.html}")
        if not result.passed:
            raise typer.Exit(1)


def console(**where: Any) -> Console:
    """A console for text whose names of files, nodes and tensors are data, not markup."""
    from rich.console import Console

    from onnxq.render.text import in_width

    class Patient(Console):
        """Lines wrap between words in a terminal, and stay whole in a log or a pipe, for grep."""

        def print(self, *objects: Any, **options: Any) -> None:
            if self.is_terminal and len(objects) == 1 and not options:
                for line in in_width(objects[0], self):
                    super().print(line)
            else:
                super().print(*objects, **options)

        def on_broken_pipe(self) -> None:
            raise stdout.ReaderGoneError

    return Patient(**where, markup=False, highlight=False, soft_wrap=True)
