"""Fixed ranges x observed values -> what they clip (OQ517)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from onnxq.calibration import summary
from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import Diagnostic, warning
from onnxq.model.graph import Graph
from onnxq.planning.plan import Pair, Plan
from onnxq.quantization import INT8_MAX

_ROUNDING: Final = 1 + 0.5 / INT8_MAX  # clipping to this loses no more than rounding does


def clipped(graph: Graph, plan: Plan, statistics: Statistics) -> Iterator[Diagnostic]:
    """Report each fixed range that clips its tensor, with the share of the values that it clips.

    The share of an activation needs its histogram. Tensors without observed values are left out.
    """
    why = {decision.edge: decision.because for decision in plan.decisions}
    for pair in plan.pairs:
        if (amax := pair.descriptor.amax) is None or pair.existing is not None:
            continue
        largest, beyond = _beyond(graph, pair, statistics, amax)
        if largest > amax * _ROUNDING:
            because = why[pair.edges[0]]
            share = "some" if beyond is None else f"{beyond:.3g} %"
            yield warning(
                "OQ517",
                f"rule '{because.rule}' fixes the range of '{pair.tensor}' at {amax:g}, and its "
                f"values reach {largest:.4g}: {share} of them are clipped",
                fix="do nothing if the clipping is meant; else raise 'amax', or give a 'method' "
                "instead",
                span=because.span,
            )


def _beyond(
    graph: Graph, pair: Pair, statistics: Statistics, amax: float
) -> tuple[float, float | None]:
    """The largest magnitude of a tensor, and the per cent of values beyond amax if known."""
    if pair.kind == "weight":
        values = np.abs(graph.array(pair.tensor))
        return float(values.max(initial=0)), 100 * float((values > amax).mean())
    if (tensor := statistics.tensors.get(pair.tensor)) is None or not tensor.range.finite:
        return 0.0, None
    histogram = tensor.histogram
    share = None if histogram is None else 100 * summary.effect(histogram, amax).clipped
    return tensor.range.amax, share
