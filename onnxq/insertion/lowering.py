"""Plan x statistics x scales -> the Q/DQ model with its float rest in half precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import Diagnostic
from onnxq.insertion import half as lowered
from onnxq.insertion.half import FloatRest, IoTypes
from onnxq.insertion.precision import Half, fp32_ops, representable_scales
from onnxq.insertion.preparation import Preparation, compare_raised
from onnxq.insertion.scales import Scales
from onnxq.model import preparing
from onnxq.model.graph import Graph
from onnxq.planning.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class InHalf:
    """A model in half precision, its scales, its ops by type, and how the opset was raised."""

    model: onnx.ModelProto
    scales: Scales
    rest: FloatRest
    raised: Preparation | None
    diagnostics: tuple[Diagnostic, ...]


def in_half(
    insert: Callable[[Scales], onnx.ModelProto],
    scales: Scales,
    graph: Graph,
    plan: Plan,
    statistics: Statistics,
    half: Half,
    *,
    io_types: IoTypes = "keep",
    path: str | Path = "the model",
) -> InHalf:
    """Insert with scales that half precision has, and put all that it can hold in that type.

    `insert` makes the Q/DQ model of the model that `graph` is a view of, or returns that itself.
    The plan, the statistics and the constants say which ops stay in FP32 (OQ510, OQ511, OQ514).
    The opset is raised to the first that has what the type needs: OQ304 names `path`.
    """
    fp32 = fp32_ops(graph, plan, statistics, half)
    scales = representable_scales(scales, graph, fp32, half)
    model = insert(scales)
    higher = preparing.raised(model, half.opset, path)
    raised = compare_raised(model, higher, statistics.input_shapes, purpose=half.called)
    result, rest = lowered.lower(higher, half, kept=fp32.reasons, io_types=io_types)
    return InHalf(
        model=result, scales=scales, rest=rest, raised=raised, diagnostics=fp32.diagnostics
    )
