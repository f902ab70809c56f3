"""onnxq lint: what TensorRT asks of a Q/DQ model, without any runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onnxq.cli import options, paths
from onnxq.cli.screen import Screen
from onnxq.diagnostics import Severity, error

if TYPE_CHECKING:
    from onnxq.linting import Repair

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
    from onnxq import linting, render
    from onnxq.model import io as models

    target = _target(model, output, fix=fix)
    proto = models.load(model)
    made: tuple[Repair, ...] = ()
    if target is not None:
        proto, made = linting.repaired(proto)
        models.save(proto, target)
        render.repairs(screen.out, made, everything=everything)
    found, outlook = linting.lint(proto), linting.predict(proto)
    told = [d for d in found if d.severity is not Severity.INFO or not quiet]
    render.findings(screen.out, told, everything=everything)
    if not quiet:
        shown = {"fixed": fix, "everything": everything}
        render.lint_summary(screen.out, target or model, found, outlook, **shown)
    screen.result(render.lint_dict(found, outlook, made))
    failing = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    if any(d.severity in failing for d in found):
        raise typer.Exit(1)


def _target(model: Path, output: Path | None, *, fix: bool) -> Path | None:
    if fix != (output is not None):
        missing, given = ("-o", "--fix") if fix else ("--fix", "-o")
        raise error(
            "OQ639", f"{given} is given without {missing}", fix="give --fix and -o FILE together"
        )
    return paths.output(output, (model,)) if output is not None else None
