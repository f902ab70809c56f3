"""onnxq tune: from a goal to a recipe with reasons."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from onnxq.cli import finding, options, shapes
from onnxq.cli.screen import QuietScreen
from onnxq.outputs import require_writable

HELP = "Find the recipe that reaches a goal with the least left in float."
EXAMPLE = "Example: `onnxq tune model.onnx --data imgs/ --min-sqnr 25`"
_GOAL = "Goal"


def run(
    model: options.FloatModel,
    *,
    data: options.Data,
    min_sqnr: Annotated[
        float | None,
        options.option("--min-sqnr DB", "The least SQNR of the worst part of the outputs.", _GOAL),
    ] = None,
    max_top1_drop: Annotated[
        float | None,
        options.option(
            "--max-top1-drop POINTS", "How far top-1 may fall below the FP32 model's.", _GOAL
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        options.option("--labels CSV", "File name and class of each sample, for top-1.", _GOAL),
    ] = None,
    metric: Annotated[
        str | None,
        options.option(
            "--metric FILE.py:FUNCTION", "A function of yours that scores outputs.", _GOAL
        ),
    ] = None,
    min_score: Annotated[
        float | None, options.option("--min-score X", "The least score by --metric.", _GOAL)
    ] = None,
    detections: Annotated[
        str | None,
        options.option(
            "--detections yolo|yolox|ssd|FILE.py", "What a detector finds, as for verify.", _GOAL
        ),
    ] = None,
    detection_score: Annotated[
        float | None,
        options.option(
            "--detection-score X", "The least score of a detection; by default 0.25.", _GOAL
        ),
    ] = None,
    min_kept: Annotated[
        float | None,
        options.option(
            "--min-kept SHARE",
            "Keep this share of the FP32 model's detections, and add no more than the rest.",
            _GOAL,
        ),
    ] = None,
    min_int8: Annotated[
        float | None,
        options.option(
            "--min-int8 SHARE",
            "Keep this share of multiplications, 0 to 1, in int8; alone: the best SQNR with it.",
            _GOAL,
        ),
    ] = None,
    preprocess: options.PreprocessAgain = None,
    rules: options.MaybeRules = None,
    calibration: options.Calibration = None,
    output: Annotated[Path | None, options.output("MODEL.tuned.yaml")] = None,
    screen: QuietScreen,
    shape: options.Shape = None,
    selection: options.Selection,
    part: options.JudgedParts = None,
    improve: Annotated[
        bool,
        options.option("--improve/--no-improve", "Improve numbers before ops go into float."),
    ] = True,
    without: options.Without = None,
    checkpoint: options.Checkpoint = None,
    resume: options.Resume = False,
    existing: options.Existing = "refuse",
    ort_library: options.OrtLibrary = None,
    html: options.Html = None,
) -> None:
    """Write the recipe, and the improvement that fits it; exit 1 when the goal is not reached."""
    import onnxq

    path = output or Path(f"{model.stem}.tuned.yaml")
    recipe = rules or options.RECIPE
    improved = path.with_name(f"{path.stem}.improved.npz") if improve else None
    outputs = {"the recipe": path, "the improvement": improved, "--html": html}
    require_writable(outputs, (Path(recipe),))
    calibrated = finding.model_and_calibration(model, calibration, existing)
    own = calibrated.to_make(path.parent)
    with screen.progress() as progress:
        result = onnxq.tune(
            calibrated.shaped(shapes.fixed(shape)),
            data,
            recipe,
            calibrated.statistics,
            min_sqnr=min_sqnr,
            max_top1_drop=max_top1_drop,
            labels=labels,
            metric=metric,
            min_score=min_score,
            detections=detections,
            detection_score=detection_score,
            min_kept=min_kept,
            min_int8=min_int8,
            improve=improve,
            without=without or (),
            parts=part,
            preprocess=preprocess,
            checkpoint=checkpoint,
            resume=resume,
            ort_library=ort_library or (),
            output=path,
            improvement_output=improved,
            calibration_output=own,
            html=html,
            progress=progress,
            **asdict(selection),
        )
    screen.show(result)
    if html is not None:
        screen.out.print(f"page: {html}")
    if not result.passed:
        raise typer.Exit(1)
