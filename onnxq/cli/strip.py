"""onnxq strip: the float model under a Q/DQ model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onnxq.cli import options
from onnxq.diagnostics import error

HELP = "Take the Q/DQ pairs out of a model; stored weights are dequantized."
EXAMPLE = "Example: `onnxq strip model.qdq.onnx -o model.float.onnx`"


def run(
    model: Annotated[Path, typer.Argument(help="The Q/DQ model.", show_default=False)],
    output: options.Output = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the float model to the working folder unless -o says else."""
    from onnxq import render
    from onnxq.model import io as models
    from onnxq.model import strip

    out, err = options.consoles(as_json=as_json, quiet=quiet)
    path = output or Path(f"{model.stem.removesuffix('.qdq')}.float.onnx")
    proto = models.load(model)
    models.refuse_integer_ops(proto, model)
    data = models.external_files(model)
    options.output_path(path, model, *data)
    options.output_path(models.data_path(path), model, *data)
    found = strip.strip(proto)
    if not found.activations and not found.weights:
        raise error(
            "OQ531",
            f"'{model}' has no Q/DQ pair that could be taken out",
            fix="give the Q/DQ model; a float model needs no stripping",
        )
    models.save(found.model, path, external=bool(data))
    render.diagnostics(err, found.diagnostics)
    out.print(
        f"{path}: {found.activations} pairs taken out, {found.weights} stored constants dequantized"
    )
    if as_json:
        options.print_json(
            {
                "output": str(path),
                "pairs": found.activations,
                "dequantized": found.weights,
                "diagnostics": [render.diagnostic_dict(d) for d in found.diagnostics],
            }
        )
