"""onnxq plan: what the rules decide, before anything is written."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from onnxq.cli import options, planning
from onnxq.cli.screen import QuietScreen
from onnxq.diagnostics import Diagnostic, counted, error
from onnxq.outputs import require_writable

HELP = "Show what the rules decide for every input, and which rule did. Needs no data."
EXAMPLE = "Example: `onnxq plan model.onnx --rules yolo.yaml -o model.plan`"


def run(
    model: options.FloatModel,
    *,
    rules: options.Rules = options.RECIPE,
    output: Annotated[Path | None, options.option("-o --output FILE", "Save the plan too.")] = None,
    check: Annotated[
        Path | None,
        options.option("--check FILE", "Compare with a saved plan; exit 1 when it differs."),
    ] = None,
    diff: Annotated[
        str | None, options.option("--diff NAME|FILE", "Show what another recipe changes.")
    ] = None,
    only: Annotated[
        str | None,
        options.option("--only GLOB", "Show only nodes or tensors whose whole name fits."),
    ] = None,
    floats: Annotated[
        bool,
        options.option("--floats", "Show only inputs left in float, by a rule or for want of one."),
    ] = False,
    html: options.Html = None,
    strict: options.Strict = False,
    existing: options.Existing = "refuse",
    shape: options.Shape = None,
    screen: QuietScreen,
) -> None:
    """Print the plan; with -o also save it, to commit or to insert from."""
    import onnxq
    from onnxq import render

    if check is not None and diff is not None:
        raise error("OQ217", "--check and --diff exclude each other", fix="give one of them")
    float_model = planning.load(model, shape, existing)
    changes = None
    if check is not None:  # before -o, which may be this file
        new = onnxq.plan(float_model, rules, strict=strict)
        changes = onnxq.plan_changes(check, new, only=only, floats=floats)
    elif diff is not None:
        new, other = onnxq.plan(float_model, rules, strict=strict), onnxq.plan(float_model, diff)
        require_writable({"the plan": output, "--html": html}, other.files)
        changes = onnxq.plan_changes(new, other, only=only, floats=floats)
    plan = onnxq.plan(float_model, rules, strict=strict, output=output, html=html)
    screen.diagnose(plan.diagnostics)
    lines = onnxq.plan_lines(plan, only=only, floats=floats)
    shown = {**plan.to_dict(), "lines": [asdict(x) for x in lines]}
    screen.json(shown if changes is None else {**shown, "changes": changes.to_dict()})
    if changes is not None:
        render.show(changes, screen.out)
    else:
        if only is None:
            render.plan_summary(screen.out, plan)
            render.plan_improvers(screen.out, plan)
        render.plan_lines(screen.out, lines)
    if html is not None:
        screen.out.print(f"page: {html}")
    if check is not None and changes:
        message = f"the plan differs from '{check}' in {counted(len(changes), 'line')}"
        saved = output is not None and output.resolve() == check.resolve()
        fix = "commit the new one" if saved else f"save it again with -o {check}"
        fix = f"{fix} if that is meant"
        screen.diagnose([Diagnostic(code="OQ215", message=message, fix=fix)])
        raise typer.Exit(1)
