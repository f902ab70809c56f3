"""What the steps require of each other: one model, one plan, and data where scales need it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import error, require_choice
from onnxq.insertion.half import IoTypes
from onnxq.insertion.insert import Weights, opset_of_pairs
from onnxq.insertion.precision import HALF, FloatName
from onnxq.insertion.scales import Scales
from onnxq.model.loading import Model
from onnxq.model.preparing import NEWEST_OPSET
from onnxq.planning.plan import Plan
from onnxq.shown import renderer


def require_calibration_of(model: Model, statistics: Statistics | None) -> None:
    """Raise OQ411 when statistics are of another model."""
    if statistics is None or statistics.model_digest == model.digest:
        return
    again = (
        f"cache import CACHE --model {model.name}"
        if statistics.is_imported
        else f"calibrate {model.name} --data ..."
    )
    source = "the calibration" if statistics.path is None else f"'{statistics.path}'"
    raise error(
        "OQ411",
        f"{source} was made from another model than '{model.name}'",
        fix=f"run 'onnxq {again}' again",
    )


def require_data(plan: Plan, statistics: object) -> None:
    """Raise OQ225 when activations have pairs and there is nothing to compute scales from."""
    if statistics is None and plan.needs_data:
        raise error(
            "OQ225",
            f"recipe '{plan.recipe}' quantizes activations, and there is no calibration or data",
            fix="give the samples to calibrate on",
        )


def uncalibrated(model: Model) -> Statistics:
    """Statistics without any tensor, for plans that need none."""
    return Statistics(
        model_path=model.path,
        model_digest=model.digest,
        calibrator="histogram",
        input_shapes=model.shapes,
    )


def require_scales_of(plan: Plan, scales: Scales) -> None:
    """Raise OQ419 for scales that were computed for another plan or another model."""
    if scales.made_for not in (None, (plan.model_digest, plan.digest)):
        raise error(
            "OQ419",
            "the scales were computed for another plan or model",
            fix="compute them for this one with onnxq.scales(model, plan, statistics)",
        )


def require_opset(opset: int | None, plan: Plan, float_type: FloatName) -> None:
    """Raise OQ515 for an opset that lacks what the file will have, or one that TensorRT lacks."""
    if opset is None:
        return
    needed, because = opset_of_pairs(plan), "the Q/DQ pairs of this plan"
    if float_type != "fp32" and HALF[float_type].opset > needed:
        needed, because = HALF[float_type].opset, f"--float {float_type}"
    if opset < needed:
        message, fix = f"is too old for {because}", f"give {needed} or more, or leave it out"
    elif opset > NEWEST_OPSET:
        message, fix = "is newer than TensorRT takes", f"give {NEWEST_OPSET} or less"
    else:
        return
    raise error("OQ515", f"opset {opset} {message}", fix=fix)


def require_types(weights: Weights, float_type: FloatName, io_types: IoTypes) -> None:
    """Raise OQ217 for types that do not exist, and for half precision at the ports alone."""
    require_choice("weights", weights, Weights)
    require_choice("float_type", float_type, FloatName)
    require_choice("io_types", io_types, IoTypes)
    if float_type == "fp32" and io_types == "half":
        raise error(
            "OQ217",
            "--io-types half needs a float type that is half precision",
            fix="add --float fp16 or --float bf16",
        )


def require_again(data: Any, verb: str, instead: str) -> None:
    """Raise OQ421 for data that can be read only once, where a verb reads it twice."""
    if hasattr(data, "__next__"):
        raise error(
            "OQ421",
            f"the data can be read only once, and {verb} reads it twice",
            fix=f"give a list, a function that makes it, or {instead}",
        )


def require_page(page: Path | None) -> None:
    """Make sure that a page can be drawn (OQ670)."""
    if page is not None:
        renderer().require_page()
