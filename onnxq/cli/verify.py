"""onnxq verify: lint, compare and compile a Q/DQ model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from onnxq.cli import options, shapes
from onnxq.cli.screen import QuietScreen

HELP = "Check Q/DQ models: what TensorRT asks of them, their accuracy, and what it compiles."
EXAMPLE = "Example: `onnxq verify model.onnx model.qdq.onnx --data imgs/ --min-sqnr 20`"


def run(
    model: options.FloatModel,
    qdq: Annotated[
        list[Path], typer.Argument(metavar="QDQ", help="Q/DQ models made of it, by any tool.")
    ],
    *,
    data: options.MaybeData = None,
    preprocess: options.PreprocessAgain = None,
    screen: QuietScreen,
    shape: options.Profiles = None,
    selection: options.Selection,
    calibration: options.UsedCalibration = None,
    checks: options.Checks,
    rules: options.PageRules = None,
    plan: options.PagePlans = None,
    ort_library: options.OrtLibrary = None,
) -> None:
    """Print the report; exit 1 when a check says no."""
    import onnxq

    with screen.progress() as progress:
        report = onnxq.verify(
            model,
            qdq,
            data=data,
            preprocess=preprocess,
            shapes=shapes.profiles(shape),
            calibration=calibration,
            calibration_folders=(Path(),),
            recipes=rules or (),
            plans=plan or (),
            ort_library=ort_library or (),
            progress=progress,
            **asdict(selection),
            **checks.arguments(),
        )
    screen.show_checked(report, checks)
