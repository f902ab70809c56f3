"""Clearer errors for repeated or missing options."""

from __future__ import annotations

from collections import Counter
from typing import Any

import typer
from typer.core import TyperCommand

from onnxq.diagnostics import error


class Command(TyperCommand):
    """A command that refuses an option with one value when it is repeated (OQ217).

    The parser would silently take the last one. The error for a missing option has an example.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse repeated options, then parse as usual."""
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        single = Counter(p for p in order if not (p.multiple or getattr(p, "is_flag", True)))
        for parameter, count in single.items():
            if count > 1:
                name = max(parameter.opts, key=len)
                fix = "give one of them"
                if name == "--data":
                    fix = "put what they name, or links to it, into one folder"
                raise error("OQ217", f"{name} is given {count} times", fix=fix)
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as reason:
            if reason.message or reason.param is None:  # a value that does not fit
                raise
            named = reason.param
        missing = max(named.opts, key=len)
        missing = missing if missing.startswith("-") else named.metavar or missing.upper()
        example = (self.epilog or "").partition(": ")[2].replace("`", "")
        fix = f"give it, as in: {example}" if example else "give it; --help describes it"
        raise error("OQ217", f"{missing} is missing", fix=fix)
