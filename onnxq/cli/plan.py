"""onnxq plan: what the rules decide, before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onnxq.cli import options
from onnxq.diagnostics import Diagnostic, error

if TYPE_CHECKING:
    from onnxq.plan_file import Line

HELP = "Show what the rules decide for every input, and which rule did. Needs no data."
EXAMPLE = "Example: `onnxq plan model.onnx --rules yolo.yaml -o model.plan`"


def run(
    model: Annotated[Path, typer.Argument(help="The FP32 model.", show_default=False)],
    rules: options.Rules = "trt-int8",
    shape: options.Shape = None,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="GLOB", help="Only nodes or tensors of this name."),
    ] = None,
    floats: Annotated[
        bool,
        typer.Option("--floats", help="Only inputs left in float, by a rule or for want of one."),
    ] = False,
    diff: Annotated[
        str | None,
        typer.Option("--diff", metavar="NAME|FILE", help="Show what another recipe changes."),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option("--check", help="Compare with a saved plan; exit 1 when it differs."),
    ] = None,
    output: options.Output = None,
    strict: options.Strict = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Print the plan; with -o also save it, to commit or to insert from."""
    from dataclasses import asdict

    from onnxq import cascade, files, plan_file, recipe, render

    out, err = options.consoles(as_json=as_json, quiet=quiet)
    if check is not None and diff is not None:
        raise error("OQ217", "--check and --diff exclude each other", fix="give one of them")
    view = options.graph_of(model, shape)
    planned = cascade.plan(view, recipe.load(rules))
    if strict:
        options.refuse_warnings(planned.diagnostics)
    render.diagnostics(err, planned.diagnostics)
    shown = (*plan_file.lines(planned), *(plan_file.undecided(view, planned) if floats else ()))
    shown = tuple(line for line in shown if _wanted(line, only, floats))
    changes: list[str] = []
    if check is not None:
        changes = plan_file.difference(plan_file.read_lines(check)[2], plan_file.lines(planned))
    elif diff is not None:
        other = cascade.plan(view, recipe.load(diff))
        changes = plan_file.difference(plan_file.lines(planned), plan_file.lines(other))
    if output is not None:
        from onnxq.model import external_files

        options.output_path(output, model, *external_files(model), Path(rules))
        with files.whole_file(output) as part:
            part.write_text(plan_file.to_text(planned), encoding="utf-8")
    if as_json:
        found = [render.diagnostic_dict(d) for d in planned.diagnostics]
        options.print_json(
            {"lines": [asdict(line) for line in shown], "changes": changes, "diagnostics": found}
        )
    elif check is not None or diff is not None:
        render.changes(out, changes)
    else:
        render.plan_lines(out, shown)
        render.plan_summary(out, planned, view)
    if check is not None and changes:
        told = f"the plan differs from '{check}' in {len(changes)} lines"
        fix = f"save it again with -o {check} if that is meant"
        render.diagnostics(err, [Diagnostic(code="OQ215", message=told, fix=fix)])
        raise typer.Exit(1)


def _wanted(line: Line, only: str | None, floats: bool) -> bool:
    from onnxq import plan_file
    from onnxq.selectors import InvalidMatchError
    from onnxq.selectors.basic import name_regex

    if floats and line.descriptor != plan_file.FLOAT:
        return False
    if only is None:
        return True
    try:
        regex = name_regex(only)
    except InvalidMatchError as reason:
        raise error("OQ104", f"--only is {reason}", fix=reason.fix) from None
    return any(regex.fullmatch(name) for name in (line.node, line.tensor))
