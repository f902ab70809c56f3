"""Every command with its options, from the Typer app."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from typer.main import get_command

from onnxq.cli.app import app


def text() -> str:
    """The commands as Markdown, in the order of `onnxq --help`."""
    return "\n\n".join(_commands(get_command(app), "onnxq"))


def _commands(group: Any, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path} {name}")
        else:
            yield _section(command, f"{path} {name}")


def _section(command: Any, path: str) -> str:
    parameters = [p for p in command.params if not p.hidden]
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    names = " ".join(p.metavar or p.name.upper() for p in arguments)
    parts = [f"## {path}", command.help, f"```text\n{path} {names} [OPTIONS]\n```"]
    if command.epilog:
        parts.append(command.epilog)
    if arguments:
        parts.append(_table("argument", arguments))
    options = sorted((p for p in parameters if p not in arguments), key=_panel)
    for panel, members in groupby(options, _panel):
        parts.append(_table(panel or "option", list(members)))
    return "\n\n".join(parts)


def _panel(parameter: Any) -> str:
    return (parameter.rich_help_panel or "").lower()


def _table(title: str, parameters: list[Any]) -> str:
    rows = (f"| {_usage(p)} | {_cell(p.help or '')} |" for p in parameters)
    return "\n".join((f"| {title} | |", "|---|---|", *rows))


def _usage(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_cell(parameter.metavar or parameter.name.upper())}`"
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    value = "" if parameter.is_flag else (parameter.metavar or "")
    return f"{names} `{_cell(value)}`" if value else names


def _cell(content: str) -> str:
    return " ".join(content.split()).replace("|", "\\|")
