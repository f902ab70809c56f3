"""onnxq lint: what TensorRT asks of a Q/DQ model, without any runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onnxq.cli import options
from onnxq.cli.screen import Screen
from onnxq.diagnostics import Severity, error

HELP = "Check a Q/DQ model from any tool against what TensorRT asks of it."
EXAMPLE = "Example: `onnxq lint model.qdq.onnx --fix -o repaired.onnx`"


def run(
    model: options.QdqModel,
    *,
    fix: Annotated[
        bool, options.option("--fix", "Repair what takes no calibration, into the file of -o.")
    ] = False,
    output: Annotated[
        Path | None, options.option("-o --output FILE", "Where to write the repaired model.")
    ] = None,
    strict: Annotated[
        bool, options.option("--strict", "Exit 1 for warnings too, not only for errors.")
    ] = False,
    everything: Annotated[bool, options.option("--all", "Print every finding.")] = False,
    screen: Screen,
    quiet: options.Quiet = False,
) -> None:
    """Print what is wrong, after the repairs if there are any; exit 1 when that has errors."""
    import onnxq
    from onnxq import render

    if fix and output is None:
        raise error("OQ639", "--fix is given without -o", fix="give --fix and -o FILE together")
    report = onnxq.lint(model, fix=fix, output=output)
    render.lint_report(report, screen.out, everything=everything, quiet=quiet)
    screen.json(report.to_dict())
    failing = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    if report.worst in failing:
        raise typer.Exit(1)
