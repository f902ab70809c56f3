"""onnxq lint: what TensorRT asks of a Q/DQ model, without any runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onnxq.cli import options
from onnxq.diagnostics import Severity, error

if TYPE_CHECKING:
    from onnxq.lint import Repair

HELP = "Check a Q/DQ model from any tool against what TensorRT asks of it."
EXAMPLE = "Example: `onnxq lint model.qdq.onnx --fix -o repaired.onnx`"


def run(
    model: Annotated[Path, typer.Argument(help="A Q/DQ model.", show_default=False)],
    fix: Annotated[
        bool, typer.Option("--fix", help="Repair what takes no calibration, into the file of -o.")
    ] = False,
    output: options.Output = None,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings fail the check.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Print every finding.")] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Print what is wrong, after the repairs if there are any; exit 1 when that has errors."""
    from onnxq import lint, render
    from onnxq.model import io as models

    out, _ = options.consoles(as_json=as_json, quiet=False)
    target = _target(model, output, fix=fix)
    proto = models.load(model)
    made: tuple[Repair, ...] = ()
    if target is not None:
        proto, made = lint.repaired(proto)
        models.save(proto, target)
        render.repairs(out, made, everything=everything)
    found, outlook = lint.lint(proto), lint.predict(proto)
    told = [d for d in found if d.severity is not Severity.INFO or not quiet]
    render.findings(out, told, everything=everything)
    if not quiet:
        render.lint_summary(out, target or model, found, outlook, fixed=fix, everything=everything)
    if as_json:
        options.print_json(render.lint_dict(found, outlook, made))
    failing = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    if any(d.severity in failing for d in found):
        raise typer.Exit(1)


def _target(model: Path, output: Path | None, *, fix: bool) -> Path | None:
    if fix != (output is not None):
        missing, given = ("-o", "--fix") if fix else ("--fix", "-o")
        raise error(
            "OQ639", f"{given} is given without {missing}", fix="give --fix and -o FILE together"
        )
    return options.output_path(output, model) if output is not None else None
