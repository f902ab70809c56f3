"""onnxq explain: why a node, a tensor or a rule is as it is, or what a code means."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from onnxq.cli import options, planning
from onnxq.cli.screen import Screen
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
        typer.Argument(metavar="TARGET", help="The name of a node, a tensor or a rule."),
    ] = None,
    *,
    rules: options.Rules = options.RECIPE,
    screen: Screen,
    shape: options.Shape = None,
    existing: options.Existing = "refuse",
) -> None:
    """Explain; needs no data and no calibration."""
    from onnxq import render
    from onnxq.planning import cascade, explain, recipe

    if target is None and _CODE.fullmatch(subject):
        _code(screen, subject.upper())
        return
    if target is None:
        raise error(
            "OQ214",
            "there is nothing to explain",
            fix="give a node, a tensor or a rule after the model, or a code alone",
        )
    source, view = planning.read(Path(subject), shape, existing)
    compiled = recipe.load(rules)
    planned = cascade.draft(view, compiled)  # what is wrong is just what needs explaining
    found = explain.explain(view, compiled, planned, target)
    errors = [d for d in planned.diagnostics if d.severity is Severity.ERROR]
    told = (*source.diagnostics, *errors)
    screen.result({"explanations": [render.explanation_dict(e) for e in found]}, told)
    screen.tell(told)
    if found:
        render.explanations(screen.out, found)
    else:
        screen.out.print(f"no node reads '{target}', so no rule decides it")


def _code(screen: Screen, code: str) -> None:
    from dataclasses import asdict

    if code not in CODES:
        raise error("OQ214", f"there is no code {code}", fix="docs/codes.md lists all codes")
    entry = CODES[code]
    screen.out.print(f"{code}: {entry.meaning}\n\n  {entry.example}\n\n{entry.fix}")
    screen.result({"code": code, **asdict(entry)})
