"""onnxq improve: other numbers in the same model and pairs, so that less accuracy is lost."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from onnxq.cli import finding, options, planning, shapes
from onnxq.cli.screen import QuietScreen
from onnxq.outputs import require_writable

HELP = "Change weights, biases and scales so that the Q/DQ model loses less accuracy."
EXAMPLE = "Example: `onnxq improve model.onnx --data imgs/ --rules yolo`, then `onnxq insert ...`"


def run(
    model: options.FloatModel,
    *,
    data: options.Data,
    preprocess: options.PreprocessAgain = None,
    rules: options.MaybeRules = None,
    calibration: options.Calibration = None,
    output: Annotated[Path | None, options.output("MODEL.improved.npz")] = None,
    screen: QuietScreen,
    plan_path: options.Plan = None,
    shape: options.Shape = None,
    selection: options.Selection,
    improvers: options.Improvers,
    part: options.LossParts = None,
    checkpoint: options.Checkpoint = None,
    resume: options.Resume = False,
    existing: options.Existing = "refuse",
    ort_library: options.OrtLibrary = None,
) -> None:
    """Write the changed numbers, and a calibration where there is none."""
    import onnxq

    path = output or Path(f"{model.stem}.improved.npz")
    recipe = planning.recipe(rules, plan_path)
    require_writable({"the improvement": path}, (plan_path, Path(rules or options.RECIPE)))
    calibrated = finding.model_and_calibration(model, calibration, existing)
    float_model = calibrated.shaped(shapes.fixed(shape))
    own = calibrated.to_make(path.parent)
    with screen.progress() as progress:
        improvement = onnxq.improve(
            float_model,
            data,
            planning.plan(float_model, recipe, plan_path),
            calibrated.statistics,
            parts=part,
            preprocess=preprocess,
            checkpoint=checkpoint,
            resume=resume,
            ort_library=ort_library or (),
            output=path,
            calibration_output=own,
            progress=progress,
            **asdict(selection),
            **improvers.arguments(),
        )
    screen.show(improvement)
