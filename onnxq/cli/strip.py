"""onnxq strip: the float model under a Q/DQ model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from onnxq.cli import options, paths
from onnxq.cli.screen import QuietScreen
from onnxq.diagnostics import error

HELP = "Take the Q/DQ pairs out of a model; stored weights are dequantized."
EXAMPLE = "Example: `onnxq strip model.qdq.onnx -o model.float.onnx`"


def run(
    model: options.QdqModel,
    *,
    output: Annotated[Path | None, options.output("MODEL.float.onnx")] = None,
    screen: QuietScreen,
) -> None:
    """Write the float model."""
    from onnxq.model import io as models
    from onnxq.model import strip

    path = output or Path(f"{model.stem.removesuffix('.qdq')}.float.onnx")
    proto = models.load(model)
    models.refuse_integer_ops(proto, model)
    data = models.external_files(model)
    paths.model_output(path, (model, *data))
    found = strip.strip(proto)
    if not found.activations and not found.weights:
        raise error(
            "OQ531",
            f"'{model}' has no Q/DQ pair that could be taken out",
            fix="give the Q/DQ model; a float model needs no stripping",
        )
    models.save(found.model, path, external=bool(data))
    screen.tell(found.diagnostics)
    screen.out.print(
        f"{path}: {found.activations} pairs taken out, {found.weights} stored constants dequantized"
    )
    counts = {"pairs": found.activations, "dequantized": found.weights}
    screen.result({"output": str(path), **counts}, found.diagnostics)
