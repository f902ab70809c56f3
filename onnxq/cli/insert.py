"""onnxq insert: place Q/DQ pairs by rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from onnxq.cli import finding, options, paths, placing
from onnxq.cli.screen import QuietScreen
from onnxq.diagnostics import Diagnostic, warning

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
    placement: options.Placement,
    existing: options.Existing = "refuse",
    strict: options.Strict = False,
) -> None:
    """Write the Q/DQ model."""
    from onnxq.model.graph import Graph

    placing.require_float(placement)
    make_plan = placing.planner(rules, plan_path)
    source, given = finding.model_and_calibration(model, calibration, existing)
    statistics = given.statistics
    path = output or Path(f"{source.path.stem}.qdq.onnx")
    paths.model_output(path, (*source.files, given.path, plan_path, Path(rules or options.RECIPE)))
    view = Graph(source.model, digest=source.digest, shapes=statistics.input_shapes)
    plan = make_plan(view)
    if given.missing is not None and plan.needs_data:
        raise given.missing
    if strict:
        placing.refuse_warnings(plan)
    placed = placing.place(path, source, view, plan, statistics, placement)
    told = (*source.diagnostics, *_unreal(given, placement), *placed.diagnostics)
    screen.tell(told)
    placed.tell(screen.out, given.path)
    if statistics.calibrator == "cache":
        screen.out.print(
            "activation ranges are those of an imported TensorRT cache: "
            "methods of the recipe do not change them"
        )
    about = {
        "output": str(path),
        "model": str(source.path),
        "calibration": None if given.path is None else str(given.path),
        "calibrator": None if given.path is None else statistics.calibrator,
    }
    screen.result({**about, **placed.to_dict()}, told)


def _unreal(given: finding.Calibrated, placement: options.Placement) -> list[Diagnostic]:
    """Say so when the scales come from no real data, or half precision is chosen without any."""
    if data := given.statistics.data:
        told = f"'{given.path}' holds no real data ({data}): the scales mean nothing"
        return [warning("OQ428", told, fix="calibrate with real data for a model that is used")]
    return placing.without_ranges(placement) if given.path is None else []
