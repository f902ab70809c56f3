"""Options that are given once: of two the parser would take the last, and not say so."""

from __future__ import annotations

from collections import Counter
from typing import Any

from typer.core import TyperCommand

from onnxq.diagnostics import error


class Once(TyperCommand):
    """A command that refuses an option with one value when it is given twice (OQ217)."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Look at what is given, then read it as usual."""
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        given = Counter(p for p in order if not (p.multiple or getattr(p, "is_flag", True)))
        for parameter, count in given.items():
            if count > 1:
                name = max(parameter.opts, key=len)
                fix = "give one of them"
                if name == "--data":
                    fix = "put what they name, or links to it, into one folder"
                raise error("OQ217", f"{name} is given {count} times", fix=fix)
        return super().parse_args(ctx, args)
