"""onnxq doctor: what is installed, what is missing, and what for."""

from __future__ import annotations

import typer

from onnxq.cli.screen import Screen

HELP = "Say which backends, versions and folders are there, and what is missing."
EXAMPLE = "Example: `onnxq doctor --json`"


def run(*, screen: Screen) -> None:
    """Print the checks; exit 3 when something is missing that every command needs."""
    import onnxq

    result = onnxq.doctor()
    screen.show(result)
    if not result.passed:
        raise typer.Exit(3)
