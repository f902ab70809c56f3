"""What the steps require of each other: one model, one plan, and data where scales need it."""

from __future__ import annotations

from typing import Final

from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import error
from onnxq.insertion.half import IoTypes
from onnxq.insertion.precision import FloatName
from onnxq.insertion.scales import Scales
from onnxq.model.loading import Model
from onnxq.planning.plan import Plan

IMPORTED: Final = "cache"  # the calibrator of ranges that a TensorRT cache gave


def require_calibration_of(model: Model, statistics: Statistics | None) -> None:
    """Raise OQ411 when statistics are of another model."""
    if statistics is None or statistics.model_digest == model.digest:
        return
    imported = statistics.calibrator == IMPORTED
    again = (
        f"cache import CACHE --model {model.name}"
        if imported
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
    """Raise OQ419 for scales that were computed for another plan."""
    tensors = {pair.tensor for pair in plan.pairs}
    if not all(pair.tensor in tensors for pair in scales.by_pair):
        raise error(
            "OQ419",
            "the scales were computed for another plan",
            fix="compute them for this one with onnxq.scales(model, plan, statistics)",
        )


def require_float_types(float_type: FloatName, io_types: IoTypes) -> None:
    """Refuse half precision inputs and outputs where nothing else is in it (OQ217)."""
    if float_type == "fp32" and io_types == "half":
        raise error(
            "OQ217",
            "--io-types half needs a float type that is half precision",
            fix="add --float fp16 or --float bf16",
        )
