"""onnxq cache: TensorRT calibration caches from statistics, and statistics from caches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onnxq.cli import finding, options, shapes
from onnxq.cli.command import Group
from onnxq.cli.grouped import grouped
from onnxq.cli.screen import QuietScreen

HELP = "Read and write the INT8 calibration caches of TensorRT up to version 10."

app = typer.Typer(cls=Group, no_args_is_help=True, help=HELP)


@app.command(
    "import", epilog="Example: `onnxq cache import calib.cache --model model.onnx`, then `insert`"
)
@grouped
def import_(
    file: Annotated[Path, typer.Argument(metavar="CACHE", help="A calibration cache of TensorRT.")],
    *,
    model: Annotated[Path, options.option("--model FILE", "The FP32 model it is for.")],
    output: Annotated[Path | None, options.output("MODEL.calib.npz")] = None,
    screen: QuietScreen,
    shape: options.Shape = None,
) -> None:
    """Turn a TensorRT calibration cache into a calibration for `insert`, without any data.

    Its ranges are final: methods of recipes do not change them.
    """
    import onnxq

    path = output or Path(f"{model.stem}.calib.npz")
    screen.show(onnxq.import_cache(file, model, shapes=shapes.fixed(shape), output=path))


@app.command(epilog="Example: `onnxq cache export model.calib.npz --rules yolo --tensorrt 8.6.1`")
@grouped
def export(
    calibration: Annotated[Path, typer.Argument(metavar="CALIBRATION", help="A calibration.")],
    *,
    rules: options.MaybeRules = None,
    version: Annotated[
        str, options.option("--tensorrt VERSION", "The TensorRT that will read it.")
    ] = "10.3.0",
    output: Annotated[Path | None, options.output("MODEL.calib.cache")] = None,
    method: Annotated[
        str | None,
        options.option(
            "--method NAME",
            "Write every observed tensor by this method instead: max, mse, entropy, adaptive, "
            "percentile or percentile(P).",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        options.option("--model FILE", "The FP32 model; by default the calibration's."),
    ] = None,
    screen: QuietScreen,
) -> None:
    """Write a cache that TensorRT up to 10 builds implicit INT8 from, without calibrating.

    It holds the scales that `insert` would write: of the tensors that the recipe quantizes, so
    that TensorRT has no range for the others.
    """
    import onnxq

    statistics = onnxq.Statistics.load(calibration)
    float_model = finding.model_of(statistics, model=model)
    screen.show(
        onnxq.export_cache(
            statistics,
            float_model,
            recipe=rules,
            method=method,
            tensorrt=version,
            output=output or Path(f"{float_model.stem}.calib.cache"),
        )
    )
