"""Where a verb prints: the result on stdout, and all else on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TextIO

from onnxq.cli import options, stdout
from onnxq.cli.progress import Step, progress
from onnxq.diagnostics import Diagnostic

if TYPE_CHECKING:
    from rich.console import Console


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
        return _console(file=self._result, quiet=self.is_silent)

    @cached_property
    def err(self) -> Console:
        """The console for progress and warnings."""
        return _console(stderr=True)

    def progress(
        self, what: str, total: int | None, *, then: str = ""
    ) -> AbstractContextManager[Step]:
        """Show how work goes on; `total` is None when nobody knows how many steps there are."""
        return progress(self.err, what, total, quiet=self.is_silent, then=then)

    def tell(self, found: Iterable[Diagnostic], *, everything: bool = True) -> None:
        """Print diagnostics; unless `everything` is asked for, a few of a kind stand for all."""
        from onnxq import render

        render.diagnostics(self.err, found, everything=everything)

    def result(self, value: Mapping[str, Any], found: Iterable[Diagnostic] | None = None) -> None:
        """Print a result, with the diagnostics that belong to it, if machines read it."""
        from onnxq import render

        if not self.as_json:
            return
        told = {} if found is None else {"diagnostics": [render.diagnostic_dict(d) for d in found]}
        text = json.dumps({**value, **told}, indent=2, allow_nan=False)
        self._result.write(f"{text}\n")


@dataclass(kw_only=True, eq=False)
class QuietScreen(Screen):
    """A screen that --quiet leaves empty."""

    quiet: options.Quiet = False

    @property
    def is_silent(self) -> bool:
        """Whether people read nothing but warnings and errors."""
        return self.as_json or self.quiet


def _console(**where: Any) -> Console:
    from rich.console import Console

    class Patient(Console):
        def on_broken_pipe(self) -> None:
            raise stdout.ReaderGoneError

    # Names of files, nodes and tensors are data: brackets in them are no markup.
    return Patient(**where, markup=False, highlight=False, soft_wrap=True)
