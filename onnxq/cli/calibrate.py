"""onnxq calibrate: gather activation statistics."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from onnxq.cli import options, shapes
from onnxq.cli.screen import QuietScreen

HELP = "Run the model over samples and write what values its activations take."
EXAMPLE = "Example: `onnxq calibrate model.onnx --data imgs/ --preprocess yolo`"


def run(
    model: options.FloatModel,
    *,
    data: options.Data,
    preprocess: options.Preprocess = None,
    output: Annotated[Path | None, options.output("MODEL.calib.npz")] = None,
    screen: QuietScreen,
    shape: options.Shape = None,
    selection: options.Selection,
    rules: options.ObservedRules = None,
    calibrator: options.Calibrator = "histogram",
    float_type: options.FloatType = "fp32",
    existing: options.Existing = "refuse",
    shard: options.Shard = None,
    long_run: options.LongRun,
    ort_library: options.OrtLibrary = None,
) -> None:
    """Write the statistics."""
    import onnxq
    from onnxq import render

    part = "" if shard is None else f".{shard.replace('/', 'of')}"
    with screen.progress() as progress:
        statistics = onnxq.calibrate(
            model,
            data,
            recipe=rules,
            preprocess=preprocess,
            shapes=shapes.fixed(shape),
            calibrator=calibrator,
            float_type=float_type,
            existing=existing,
            shard=shard,
            ort_library=ort_library or (),
            output=output or Path(f"{model.stem}{part}.calib.npz"),
            progress=progress,
            **asdict(selection),
            **asdict(long_run),
        )
    screen.diagnose(statistics.diagnostics)
    render.gathered(screen.out, statistics)
    screen.json(statistics.to_dict())
