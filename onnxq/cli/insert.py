"""onnxq insert: place Q/DQ pairs by rules."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from onnxq.cli import finding, options, planning
from onnxq.cli.screen import QuietScreen
from onnxq.outputs import require_writable

HELP = "Place Q/DQ pairs where the rules say, with scales from a calibration."
EXAMPLE = "Example: `onnxq insert --rules yolo.yaml`, after `onnxq calibrate` in the same folder"


def run(
    model: options.MaybeModel = None,
    *,
    rules: options.MaybeRules = None,
    calibration: options.Calibration = None,
    output: Annotated[Path | None, options.output("MODEL.qdq.onnx")] = None,
    screen: QuietScreen,
    plan_path: options.Plan = None,
    improvement: options.Improvement = None,
    placement: options.Placement,
    existing: options.Existing = "refuse",
    strict: options.Strict = False,
) -> None:
    """Write the Q/DQ model."""
    import onnxq

    recipe = planning.recipe(rules, plan_path)
    calibrated = finding.model_and_calibration(model, calibration, existing)
    statistics = calibrated.statistics
    float_model = calibrated.model.with_shapes(
        {} if statistics is None else statistics.input_shapes
    )
    path = output or Path(f"{float_model.stem}.qdq.onnx")
    require_writable({"the output": path}, (plan_path, Path(rules or options.RECIPE)))
    plan = planning.plan(float_model, recipe, plan_path)
    if calibrated.missing is not None and plan.needs_data:
        raise calibrated.missing
    result = onnxq.insert(
        float_model,
        plan,
        statistics,
        improvement=improvement,
        strict=strict,
        output=path,
        **asdict(placement),
    )
    screen.show(result)
