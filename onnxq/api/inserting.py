"""scales and insert: from a plan and statistics to a Q/DQ model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from onnx import ModelProto

from onnxq.api.inserted import InsertResult, model_outputs
from onnxq.api.planning import RECIPE, PlanLike, plan_for
from onnxq.api.requirements import (
    require_calibration_of,
    require_data,
    require_opset,
    require_scales_of,
    require_types,
    uncalibrated,
)
from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import Diagnostic, warning
from onnxq.improvement.edits import edited, with_divisors
from onnxq.improvement.improvement import Improvement
from onnxq.insertion import insert as insertion
from onnxq.insertion import preparation, provenance
from onnxq.insertion.half import IoTypes
from onnxq.insertion.insert import Weights
from onnxq.insertion.lowering import in_half
from onnxq.insertion.precision import HALF, FloatName
from onnxq.insertion.preferring import not_in_half, without_half_ops
from onnxq.insertion.preparation import Preparation
from onnxq.insertion.scales import Scales, compute_scales
from onnxq.model.loading import Existing, Model, load
from onnxq.model.preparing import NEWEST_OPSET, QDQ_OPSET
from onnxq.model.preparing import opset as opset_of
from onnxq.outputs import require_writable
from onnxq.planning.plan import Plan


def scales(
    model: str | Path | ModelProto | Model,
    plan: PlanLike = RECIPE,
    statistics: Statistics | str | Path | None = None,
    *,
    existing: Existing = "refuse",
) -> Scales:
    """The scale of every pair of a plan: they can be looked at and replaced before insertion.

    Raises OQ411 for statistics of another model, OQ413, OQ416, OQ417, and what `plan` raises.
    """
    model, calibration = _subjects(model, statistics, existing)
    plan = plan_for(model, plan)
    require_data(plan, calibration)
    return compute_scales(model.graph, plan, calibration or uncalibrated(model))


def insert(
    model: str | Path | ModelProto | Model,
    plan: PlanLike = RECIPE,
    statistics: Statistics | str | Path | None = None,
    *,
    scales: Scales | None = None,
    improvement: Improvement | str | Path | None = None,
    weights: Weights = "int8",
    float_type: FloatName = "fp32",
    io_types: IoTypes = "keep",
    opset: int | None = None,
    existing: Existing = "refuse",
    strict: bool = False,
    output: str | Path | None = None,
) -> InsertResult:
    """Insert a Q/DQ pair for every pair of a plan; the model that was given is not changed.

    `plan` is a Plan, or a recipe to make one. `statistics` are those of `calibrate`, or their file;
    a plan for weights alone needs none. `scales` replaces those that would be computed, and the
    numbers of an `improvement`, or of its file, replace weights, biases and scales. `weights`
    "int8" stores them quantized, "qdq" keeps them in float behind a pair. `float_type` is the type
    of all ops without pairs; `io_types` "half" puts graph inputs and outputs into it too. The file
    has at least the `opset`, by default the first that has the types of the pairs. With `strict`
    the warnings of the plan are raised as errors. `output` is the file to write.
    Raises OQ212 for a plan of another model, OQ473, OQ474 and OQ476 for the improvement, OQ217,
    OQ225 without statistics that the plan needs, OQ411 for statistics of another model, OQ413 to
    OQ417, OQ5xx, and what `plan` raises.
    """
    require_types(weights, float_type, io_types)
    path = None if output is None else Path(output)
    loaded, calibration = _subjects(model, statistics, existing)
    planned = plan_for(loaded, plan, strict=strict)
    require_data(planned, calibration)
    require_opset(opset, planned, float_type)
    source = None if calibration is None else calibration.path
    improved = Improvement.load(improvement) if isinstance(improvement, str | Path) else improvement
    if improved is not None:
        improved.require_fits(planned, calibration)
    numbers = None if improved is None else improved.path
    require_writable(model_outputs(path), (*loaded.files, source, *planned.files, numbers))
    chosen = _Types(weights=weights, float_type=float_type, io_types=io_types, opset=opset)
    result = _inserted(loaded, planned, calibration, scales, improved, chosen)
    return result if path is None else result.save(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Types:
    """What becomes of weights, and of all that has no pairs, and the least opset."""

    weights: Weights
    float_type: FloatName
    io_types: IoTypes
    opset: int | None


def _subjects(
    model: str | Path | ModelProto | Model,
    statistics: Statistics | str | Path | None,
    existing: Existing,
) -> tuple[Model, Statistics | None]:
    """The model and its statistics (OQ411); dynamic inputs have the shapes that were observed."""
    calibration = Statistics.load(statistics) if isinstance(statistics, str | Path) else statistics
    model = load(model, existing=existing)
    require_calibration_of(model, calibration)
    if calibration is not None and not model.shapes:
        model = model.with_shapes(calibration.input_shapes)
    return model, calibration


def _inserted(
    model: Model,
    plan: Plan,
    calibration: Statistics | None,
    scales: Scales | None,
    improvement: Improvement | None,
    types: _Types,
) -> InsertResult:
    statistics = calibration or uncalibrated(model)
    typed = insertion.with_types(model.proto, plan, types.opset or QDQ_OPSET)
    computed = compute_scales(model.graph, plan, statistics) if scales is None else scales
    require_scales_of(plan, computed)
    if types.float_type != "fp32":
        half = HALF[types.float_type]
        computed = without_half_ops(model.graph, plan, computed, statistics, half)
    metadata = {**provenance.provenance(plan, statistics), "float": types.float_type}
    preparation = _preparation(model, plan, typed, statistics)
    if improvement is not None:
        edits = improvement.edits(computed)
        typed = edited(typed, edits)
        by_pair = {**with_divisors(computed.by_pair, edits.divisors), **edits.scales}
        computed = replace(computed, by_pair=by_pair)
        plan = computed.carried_out(plan)
        metadata["improvement"] = improvement.digest
    result = InsertResult(
        proto=typed,
        model=model,
        plan=computed.carried_out(plan),
        scales=computed,
        statistics=calibration,
        improvement=improvement,
        preparation=preparation,
        diagnostics=(),
    )
    odd = computed.diagnostics
    if types.float_type != "fp32":
        result, odd = _in_half(result, metadata, statistics, types)
    else:
        proto = insertion.insert(typed, plan, computed, weights=types.weights, metadata=metadata)
        result = replace(result, proto=proto)
        odd = (*odd, *not_in_half(plan))
    diagnostics = (
        *model.diagnostics,
        *_unreal(calibration, types),
        *_not_lowered(model, types.opset),
        *(d for d in plan.diagnostics if d not in model.diagnostics),
        *odd,
        *(d for done in reversed(result.preparations) for d in done.diagnostics),
    )
    return replace(result, diagnostics=diagnostics)


def _in_half(
    result: InsertResult, metadata: dict[str, str], statistics: Statistics, types: _Types
) -> tuple[InsertResult, tuple[Diagnostic, ...]]:
    """Insert with scales that half precision holds, and put what has no pairs into that type."""

    def inserted(scales: Scales) -> ModelProto:
        return insertion.insert(
            result.proto, result.plan, scales, weights=types.weights, metadata=metadata
        )

    lowered = in_half(
        inserted,
        result.scales,
        result.model.graph,
        result.plan,
        statistics,
        HALF[types.float_type],
        io_types=types.io_types,
        path=result.model.name,
    )
    lowered_result = replace(
        result,
        proto=lowered.model,
        scales=lowered.scales,
        float_rest=lowered.rest,
        half_preparation=lowered.raised,
    )
    return lowered_result, (*result.scales.diagnostics, *lowered.diagnostics)


def _preparation(
    model: Model, plan: Plan, typed: ModelProto, statistics: Statistics
) -> Preparation | None:
    """What preparing did to the outputs; None when neither the opset nor functions changed."""
    original = model.unprepared or (None if typed is model.proto else model.proto)
    if original is None:
        return None
    asked = opset_of(typed) > max(insertion.opset_of_pairs(plan), opset_of(original))
    purpose = "--opset" if asked else ""
    return preparation.compare_raised(original, typed, statistics.input_shapes, purpose=purpose)


def _not_lowered(model: Model, opset: int | None) -> Iterator[Diagnostic]:
    """Warn of an opset older than the model's (OQ516)."""
    own = opset_of(model.proto if model.unprepared is None else model.unprepared)
    if opset is not None and opset < min(own, NEWEST_OPSET):
        yield warning(
            "OQ516",
            f"the model has opset {own}, which --opset {opset} does not lower",
            fix="export the model with the older opset, or leave --opset out",
        )


def _unreal(statistics: Statistics | None, types: _Types) -> Iterator[Diagnostic]:
    """Warn of scales from data that is not real (OQ428), and of half precision without any."""
    if statistics is None:
        if types.float_type != "fp32":
            yield warning(
                "OQ513",
                "without a calibration nobody knows which activations "
                f"{types.float_type} cannot hold",
                fix="calibrate, or compare the outputs with 'onnxq verify'",
            )
    elif statistics.data:
        source = "the calibration" if statistics.path is None else f"'{statistics.path}'"
        yield warning(
            "OQ428",
            f"{source} holds no real data ({statistics.data}): the scales mean nothing",
            fix="calibrate with real data for a model that is used",
        )
