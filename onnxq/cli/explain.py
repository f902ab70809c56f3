"""onnxq explain: why a node, a tensor or a rule is as it is, or what a code means."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from onnxq.cli import options
from onnxq.codes import CODES
from onnxq.diagnostics import Severity, error

HELP = "Say why a node, a tensor or a rule is as it is, or what a code means."
EXAMPLE = (
    "Examples: `onnxq explain model.onnx /model.2/Conv --rules yolo.yaml`, `onnxq explain OQ203`"
)
_CODE = re.compile(r"OQ\d+", re.IGNORECASE)


def run(
    subject: Annotated[
        str, typer.Argument(metavar="MODEL|CODE", help="The FP32 model, or a code alone.")
    ],
    target: Annotated[
        str | None,
        typer.Argument(help="The name of a node, a tensor or a rule.", show_default=False),
    ] = None,
    rules: options.Rules = "trt-int8",
    shape: options.Shape = None,
    existing: options.Existing = "refuse",
    as_json: options.Json = False,
) -> None:
    """Explain; needs no data and no calibration."""
    from onnxq import render
    from onnxq.planning import cascade, explain, recipe

    out, err = options.consoles(as_json=as_json, quiet=False)
    if target is None and _CODE.fullmatch(subject):
        _code(subject.upper(), as_json=as_json)
        return
    if target is None:
        raise error(
            "OQ214",
            "there is nothing to explain",
            fix="give a node, a tensor or a rule after the model, or a code alone",
        )
    view = options.graph_of(Path(subject), shape, existing)
    compiled = recipe.load(rules)
    planned = cascade.draft(view, compiled)  # what is wrong is just what needs explaining
    found = explain.explain(view, compiled, planned, target)
    errors = [d for d in planned.diagnostics if d.severity is Severity.ERROR]
    if as_json:
        options.print_json(
            {
                "explanations": [render.explanation_dict(e) for e in found],
                "diagnostics": [render.diagnostic_dict(d) for d in errors],
            }
        )
        return
    render.diagnostics(err, errors)
    if found:
        render.explanations(out, found)
    else:
        out.print(f"no node reads '{target}', so no rule decides it", markup=False)


def _code(code: str, *, as_json: bool) -> None:
    from dataclasses import asdict

    if code not in CODES:
        raise error("OQ214", f"there is no code {code}", fix="docs/codes.md lists all codes")
    entry = CODES[code]
    if as_json:
        options.print_json({"code": code, **asdict(entry)})
    else:
        typer.echo(f"{code}: {entry.meaning}\n\n  {entry.example}\n\n{entry.fix}")
