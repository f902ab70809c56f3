"""onnxq plan: what the rules decide, before anything is written."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onnxq.cli import options, paths, placing, planning
from onnxq.cli.screen import QuietScreen
from onnxq.diagnostics import Diagnostic, error

if TYPE_CHECKING:
    from onnxq.model.graph import Graph
    from onnxq.planning.plan_file import Line
    from onnxq.planning.selectors.basic import NamePattern

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
    strict: options.Strict = False,
    existing: options.Existing = "refuse",
    shape: options.Shape = None,
    screen: QuietScreen,
) -> None:
    """Print the plan; with -o also save it, to commit or to insert from."""
    from dataclasses import asdict

    from onnxq import files, render
    from onnxq.planning import cascade, plan_file, recipe

    if check is not None and diff is not None:
        raise error("OQ217", "--check and --diff exclude each other", fix="give one of them")
    source, view = planning.read(model, shape, existing)
    planned = cascade.plan(view, recipe.load(rules))
    if strict:
        placing.refuse_warnings(planned)
    found = (*source.diagnostics, *planned.diagnostics)
    screen.tell(found)
    if only is not None:
        _require_some(view, only)
    made = plan_file.lines(planned)
    left = plan_file.undecided(view, planned) if floats else ()
    shown = tuple(line for line in (*made, *left) if _wanted(line, only, floats))
    compared = _compared(view, made, check, diff)
    changes = plan_file.difference(
        *([x for x in side if _wanted(x, only, floats)] for side in compared)
    )
    if output is not None:
        paths.output(output, (*source.files, Path(rules)))
        with files.whole_file(output) as part:
            part.write_text(plan_file.to_text(planned), encoding="utf-8")
    screen.result({"lines": [asdict(line) for line in shown], "changes": changes}, found)
    if check is not None or diff is not None:
        render.changes(screen.out, changes)
    else:
        render.plan_lines(screen.out, shown)
        if only is None:
            render.plan_summary(screen.out, planned, view)
    if check is not None and changes:
        told = f"the plan differs from '{check}' in {len(changes)} lines"
        fix = f"save it again with -o {check} if that is meant"
        screen.tell([Diagnostic(code="OQ215", message=told, fix=fix)])
        raise typer.Exit(1)


def _compared(
    view: Graph, made: tuple[Line, ...], check: Path | None, diff: str | None
) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """The older and the newer plan of --check or --diff; twice this one without either."""
    from onnxq.planning import cascade, plan_file, recipe

    if check is not None:
        return plan_file.read(check).lines, made
    if diff is not None:
        return made, plan_file.lines(cascade.plan(view, recipe.load(diff)))
    return made, made


def _require_some(view: Graph, only: str) -> None:
    regex = _regex(only)
    tensors = (tensor for node in view.nodes for tensor in node.inputs)
    if not any(regex.fits(name) for names in (view.by_name, tensors) for name in names):
        fix = "globs fit whole names; '*' stops at '/', '**' does not"
        raise error("OQ214", f"no node and no tensor fits --only '{only}'", fix=fix)


@cache
def _regex(only: str) -> NamePattern:
    from onnxq.planning.selectors import InvalidMatchError
    from onnxq.planning.selectors.basic import name_pattern

    try:
        return name_pattern(only)
    except InvalidMatchError as reason:
        raise error("OQ104", f"--only is {reason}", fix=reason.fix) from None


def _wanted(line: Line, only: str | None, floats: bool) -> bool:
    from onnxq.planning import plan_file

    if floats and line.descriptor != plan_file.FLOAT:
        return False
    return only is None or any(_regex(only).fits(name) for name in (line.node, line.tensor))
