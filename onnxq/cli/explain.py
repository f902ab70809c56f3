"""onnxq explain: why a node, a tensor or a rule is as it is, or what a code means."""

from __future__ import annotations

from typing import Annotated

import typer

from onnxq.cli import completion, options, shapes
from onnxq.cli.screen import Screen

HELP = "Say why a node, a tensor or a rule is as it is, or what a code means."
EXAMPLE = (
    "Examples: `onnxq explain model.onnx /model.2/Conv --rules yolo.yaml`, `onnxq explain OQ203`"
)


def run(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|CODE",
            help="The FP32 model, or a code alone.",
            autocompletion=completion.codes,
        ),
    ],
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="The name of a node, a tensor or a rule.",
            autocompletion=completion.names,
        ),
    ] = None,
    *,
    rules: options.Rules = options.RECIPE,
    improvement: options.Improvement = None,
    screen: Screen,
    shape: options.Shape = None,
    existing: options.Existing = "refuse",
) -> None:
    """Explain; needs no data and no calibration."""
    import onnxq

    sizes = shapes.fixed(shape)
    explained = onnxq.explain(
        subject, target, rules, improvement=improvement, shapes=sizes, existing=existing
    )
    screen.show(explained)
