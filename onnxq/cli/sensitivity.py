"""onnxq sensitivity: which ops and pairs bring the noise."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from onnxq.cli import finding, options, planning, shapes
from onnxq.cli.screen import QuietScreen
from onnxq.outputs import require_writable

HELP = "Rank ops and pairs by the noise that each alone brings to the outputs."
EXAMPLE = "Example: `onnxq sensitivity model.onnx --data imgs/ --rules yolo`"


def run(
    model: options.FloatModel,
    *,
    data: options.Data,
    preprocess: options.PreprocessAgain = None,
    rules: options.MaybeRules = None,
    calibration: options.Calibration = None,
    screen: QuietScreen,
    improvement: options.Improvement = None,
    plan_path: options.Plan = None,
    shape: options.Shape = None,
    selection: options.Selection,
    part: options.JudgedParts = None,
    existing: options.Existing = "refuse",
    ort_library: options.OrtLibrary = None,
    html: options.Html = None,
    everything: options.Everything = False,
) -> None:
    """Print the ranking; the calibration is made where there is none."""
    import onnxq

    recipe = planning.recipe(rules, plan_path)
    require_writable({"--html": html}, (plan_path, Path(rules or options.RECIPE)))
    calibrated = finding.model_and_calibration(model, calibration, existing)
    float_model = calibrated.shaped(shapes.fixed(shape))
    own = calibrated.to_make()
    with screen.progress() as progress:
        result = onnxq.sensitivity(
            float_model,
            data,
            planning.plan(float_model, recipe, plan_path),
            calibrated.statistics,
            improvement=improvement,
            parts=part,
            preprocess=preprocess,
            ort_library=ort_library or (),
            calibration_output=own,
            html=html,
            progress=progress,
            **asdict(selection),
        )
    screen.show(result, everything=everything)
    if html is not None:
        screen.out.print(f"page: {html}")
