"""onnxq strip: the float model under a Q/DQ model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from onnxq.cli import options
from onnxq.cli.screen import QuietScreen

HELP = "Take the Q/DQ pairs out of a model; stored weights are dequantized."
EXAMPLE = "Example: `onnxq strip model.qdq.onnx -o model.float.onnx`"


def run(
    model: options.QdqModel,
    *,
    output: Annotated[Path | None, options.output("MODEL.float.onnx")] = None,
    screen: QuietScreen,
) -> None:
    """Write the float model."""
    import onnxq

    path = output or Path(f"{model.stem.removesuffix('.qdq')}.float.onnx")
    screen.show(onnxq.strip(model, output=path))
