"""Clearer errors of the command line itself: each has a code, and names the option or command."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, cast

import typer
from typer.core import TyperCommand, TyperGroup

from onnxq.diagnostics import OnnxqError, did_you_mean, error

# The base class of the parser's errors, which Typer does not export.
UsageError: Final = cast("type[Exception]", typer.BadParameter.__mro__[1])


class Command(TyperCommand):
    """A command that refuses an option with one value when it is repeated (OQ217).

    The parser would silently take the last one. The error for a missing option has an example.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse repeated options, then parse as usual."""
        try:
            self._require_single(ctx, args)
            return super().parse_args(ctx, args)
        except UsageError as reason:
            raise self._coded(ctx, reason) from None

    def _require_single(self, ctx: Any, args: list[str]) -> None:
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        single = Counter(p for p in order if not (p.multiple or getattr(p, "is_flag", True)))
        for parameter, count in single.items():
            if count > 1:
                name = max(parameter.opts, key=len)
                fix = "give one of them"
                if name == "--data":
                    fix = "put what they name, or links to it, into one folder"
                raise error("OQ217", f"{name} is given {count} times", fix=fix)

    def _coded(self, ctx: Any, reason: Any) -> OnnxqError:
        named = getattr(reason, "param", None)
        if named is None or reason.message:
            known = [name for p in self.get_params(ctx) for name in p.opts if name[:1] == "-"]
            return _of_usage(ctx, reason, known)
        missing = max(named.opts, key=len)
        missing = missing if missing.startswith("-") else named.metavar or missing.upper()
        example = (self.epilog or "").partition(": ")[2].replace("`", "")
        fix = f"give it, as in: {example}" if example else "give it; --help describes it"
        return error("OQ217", f"{missing} is missing", fix=fix)


class Group(TyperGroup):
    """A command that has commands of its own; OQ217 for one that it does not have."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command."""
        try:
            return super().resolve_command(ctx, args)
        except UsageError:
            fix = did_you_mean(args[0], self.list_commands(ctx))
            raise error("OQ217", f"there is no command '{args[0]}'", fix=fix) from None

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse what stands in front of the command."""
        try:
            return super().parse_args(ctx, args)
        except UsageError as reason:
            if not getattr(reason, "option_name", ""):  # without arguments it is the help
                raise
            raise _of_usage(ctx, reason, ["--version", "--help"]) from None


def _of_usage(ctx: Any, reason: Any, known: list[str]) -> OnnxqError:
    """An error of the parser in one line."""
    helped = f"'{ctx.command_path} --help' describes it"
    option, message = getattr(reason, "option_name", ""), str(reason.message)
    if option and "o such option" in message:
        fix = did_you_mean(option, known, otherwise=f"'{ctx.command_path} --help' has all options")
        return error("OQ217", f"there is no option '{option}'", fix=fix)
    problem = " ".join(message.removeprefix("Value error, ").split()).rstrip(".")
    if (named := getattr(reason, "param", None)) is not None:
        problem = f"{max(named.opts, key=len)} has a value that does not fit: {problem}"
    return error("OQ217", problem[:1].lower() + problem[1:], fix=helped)
