"""onnxq quantize: calibrate, insert and verify in one command."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from onnxq.cli import options, planning, shapes
from onnxq.cli.screen import QuietScreen
from onnxq.outputs import require_writable

HELP = "Calibrate, insert and verify in one command, with the options of all three."
EXAMPLE = "Example: `onnxq quantize model.onnx --data imgs/ --rules yolo.yaml --min-sqnr 20`"


def run(
    model: options.FloatModel,
    *,
    data: options.DataForScales = None,
    preprocess: options.Preprocess = None,
    rules: options.MaybeRules = None,
    output: Annotated[Path | None, options.output("MODEL.qdq.onnx")] = None,
    screen: QuietScreen,
    verify_data: options.VerifyData = None,
    shape: options.Profiles = None,
    selection: options.Selection,
    plan_path: options.Plan = None,
    placement: options.Placement,
    existing: options.Existing = "refuse",
    strict: options.Strict = False,
    improve: options.Improve = False,
    improvers: options.Improvers,
    checks: options.Checks,
    calibrator: options.Calibrator = "histogram",
    long_run: options.LongRun,
    ort_library: options.OrtLibrary = None,
) -> None:
    """Write the Q/DQ model, and the calibration beside it, which serves other recipes too."""
    import onnxq

    path = output or Path(f"{model.stem}.qdq.onnx")
    calibration = path.with_name(f"{model.stem}.calib.npz")
    improvement = path.with_name(f"{model.stem}.improved.npz")
    profiles = shapes.profiles(shape)
    recipe = planning.recipe(rules, plan_path)
    outputs = {"the output": path, "the calibration": calibration, "--html": checks.html}
    if improve:
        outputs["the improvement"] = improvement
    require_writable(outputs, (plan_path, Path(rules or options.RECIPE)))
    sizes = {name: profile.opt for name, profile in profiles.items()}
    float_model = onnxq.load(model, existing=existing, shapes=sizes)
    with screen.progress() as progress:
        result = onnxq.quantize(
            float_model,
            data,
            recipe or planning.plan(float_model, recipe, plan_path),
            preprocess=preprocess,
            verify_data=verify_data,
            shapes=profiles,
            calibrator=calibrator,
            strict=strict,
            ort_library=ort_library or (),
            output=path,
            calibration_output=calibration,
            improve=improve,
            improvement_output=improvement if improve else None,
            progress=progress,
            **asdict(selection),
            **asdict(placement),
            **asdict(long_run),
            **improvers.arguments(),
            **checks.arguments(),
        )
    screen.show_checked(result, checks)
