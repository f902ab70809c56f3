"""What doctor found, as text."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.text import Text

from onnxq.api.diagnosing import Check, Doctor

_COLOR: Final = {"there": "green", "missing": "yellow", "needed": "red"}


def doctor(console: Console, result: Doctor) -> None:
    """Print a line for each check, and a verdict."""
    width = max(len(check.name) for check in result.checks)
    for check in result.checks:
        line = Text("  ").append(f"{check.state:7}", _COLOR[check.state])
        console.print(line.append(f"  {check.name:{width}}  {_says(check)}"))
    missing = [check.name for check in result.checks if check.state == "needed"]
    verdict = f"cannot work without {', '.join(missing)}" if missing else "ready to quantize"
    console.print(f"verdict: {verdict}")


def _says(check: Check) -> str:
    return "; ".join(filter(None, (check.value, check.fix)))
