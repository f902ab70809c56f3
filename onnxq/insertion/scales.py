"""Plan x statistics x weights -> the scale of every pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial, reduce
from operator import add
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration import methods
from onnxq.calibration.histogram import ValueRange
from onnxq.calibration.statistics import Statistics, TensorStatistics
from onnxq.calibration.weight_methods import all_finite, weight_amax
from onnxq.diagnostics import Diagnostic, OnnxqError, warning
from onnxq.formats import FORMATS, DType
from onnxq.insertion.fixed_ranges import clipped
from onnxq.insertion.reach import within_reach, without_nodes
from onnxq.insertion.scale_table import Scale as Scale
from onnxq.insertion.scale_table import Scales as Scales
from onnxq.insertion.ties import loosened
from onnxq.model.existing import scale_at
from onnxq.model.existing import scale_of as scale_of_pair
from onnxq.model.graph import Graph
from onnxq.model.scopes import Scope, owner
from onnxq.planning.plan import Pair, Plan
from onnxq.quantization import SMALLEST_AMAX, in_blocks, representable, scale_of

Amax = NDArray[np.float32]  # scalar, one a channel, or one a block


def compute_scales(graph: Graph, plan: Plan, statistics: Statistics) -> Scales:
    """Compute the scale of every pair by its method, of a share group from merged histograms.

    Raises OnnxqError with every OQ413, OQ416 and OQ417; all-zero tensors get scale 1 and a warning.
    Pairs on values of a body that no sample computed are left out (OQ240), and pairs on values
    behind an op that onnxruntime cannot run (OQ322).
    """
    made_for = (plan.model_digest, plan.digest)
    plan, behind = within_reach(plan, statistics)
    if unusable := _unusable(graph, plan, statistics):
        raise OnnxqError(*unusable)
    loose = loosened(plan, _ranges(graph, plan, statistics))
    plan = loose.plan
    shared = _merged_groups(plan, statistics)
    plan, unobserved = _observed(graph, plan, statistics, shared)
    existing, unequal = _existing_scales(graph, plan)
    amaxes = {
        pair: _weight_amax(graph, pair)
        if pair.kind == "weight"
        else _activation_amax(pair, statistics, shared)
        for pair in plan.pairs
        if pair not in existing
    }
    ranges = {name: tensor.range for name, tensor in statistics.tensors.items()}
    ranges_odd = (
        diagnostic
        for pair, amax in amaxes.items()
        for diagnostic in odd(
            pair.tensor, amax, None if pair.kind == "weight" else ranges.get(pair.tensor)
        )
    )
    scales = existing | {p: scale_of(amax, p.descriptor.dtype) for p, amax in amaxes.items()}
    return Scales(
        by_pair={pair: _in_type_of(pair, scales[pair]) for pair in plan.pairs},
        diagnostics=(
            *clipped(graph, plan, statistics),
            *behind,
            *loose.diagnostics,
            *unobserved,
            *unequal,
            *ranges_odd,
        ),
        made_for=made_for,
        groups=plan.groups,
        untied=loose.untied,
    )


def _ranges(graph: Graph, plan: Plan, statistics: Statistics) -> dict[str, float]:
    """The amax of tensors in share groups, by their own values or the pair that they have."""
    ranges = {
        pair.tensor: float(_activation_amax(replace(pair, group=None), statistics, {}))
        for pair in plan.pairs
        if pair.group is not None and pair.kind == "activation"
    }
    for index, group in enumerate(plan.groups):
        dtype = _type_of(plan, index)
        for tensor in group.tensors:
            if (scale := scale_at(graph, tensor, dtype)) is not None:
                ranges[tensor] = float(scale) * FORMATS[dtype].largest
    return ranges


def _type_of(plan: Plan, group: int) -> DType:
    """The type of the pairs of a group."""
    return next((p.descriptor.dtype for p in plan.pairs if p.group == group), "int8")


def _observed(
    graph: Graph, plan: Plan, statistics: Statistics, shared: Mapping[int, TensorStatistics]
) -> tuple[Plan, list[Diagnostic]]:
    """Leave out nodes that read unobserved values of bodies, as in a branch that was not taken."""

    def is_unobserved(pair: Pair) -> bool:
        is_known = pair.kind == "weight" or pair.existing or pair.descriptor.amax is not None
        if is_known or not graph.home(pair.tensor):
            return False
        tensor = statistics.tensors[pair.tensor] if pair.group is None else shared[pair.group]
        return not isinstance(tensor.values, methods.ImportedAmax) and not tensor.range.count

    unobserved: dict[Scope, list[Pair]] = {}
    for pair in filter(is_unobserved, plan.pairs):
        unobserved.setdefault(graph.home(pair.tensor), []).append(pair)
    floats = {edge.node for pairs in unobserved.values() for pair in pairs for edge in pair.edges}
    diagnostics = [_stays_float(graph, scope, pairs) for scope, pairs in unobserved.items()]
    return without_nodes(plan, floats), diagnostics


def _stays_float(graph: Graph, scope: Scope, pairs: list[Pair]) -> Diagnostic:
    around, body = graph.by_name[owner(scope)], scope[-1].rpartition("/")[2]
    nodes = list(dict.fromkeys(edge.node for pair in pairs for edge in pair.edges))
    others = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
    return warning(
        "OQ240",
        f"no sample of the calibration made '{pairs[0].tensor}' in {body} of {around.op} "
        f"'{around.name}': '{nodes[0]}'{others} there {'stay' if others else 'stays'} in float",
        fix="calibrate with data that reaches it, or skip it in the recipe",
    )


def _in_type_of(pair: Pair, scale: Amax) -> Scale:
    half = np.dtype(np.float16)
    return representable(scale, half).astype(half) if pair.is_half else scale


def _existing_scales(graph: Graph, plan: Plan) -> tuple[dict[Pair, Amax], list[Diagnostic]]:
    """Scales of pairs on tensors that have a pair already, or are tied to such tensors.

    Where the existing scales of a group differ, its new pairs get their own scales, with OQ534.
    """
    existing: dict[Pair, Amax] = {}
    unequal = []
    for index, group in enumerate(plan.groups):
        new = [p for p in plan.pairs if p.group == index and p.kind == "activation"]
        dtype = _type_of(plan, index)
        old = {t: s for t in group.tensors if (s := scale_at(graph, t, dtype)) is not None}
        if len({float(s) for s in old.values()}) == 1:
            existing |= dict.fromkeys(new, next(iter(old.values())))
        elif old and new:
            first, second = list(old)[:2]
            unequal.append(
                warning(
                    "OQ534",
                    f"rule '{group.because[0].rule}' ties '{first}' and '{second}', which have "
                    "pairs of different scale already; these stay as they are",
                    fix="--existing strip takes them out, so that all are placed by the rules",
                )
            )
    existing |= {p: scale_of_pair(graph, p.existing) for p in plan.pairs if p.existing}
    return existing, unequal


def _unusable(graph: Graph, plan: Plan, statistics: Statistics) -> list[Diagnostic]:
    diagnostics = []
    for pair in plan.pairs:
        if pair.kind == "weight":
            if not all_finite(graph.array(pair.tensor)):
                diagnostics.append(
                    Diagnostic(
                        code="OQ417",
                        message=f"the weight '{pair.tensor}' of '{pair.edges[0].node}' has NaN or "
                        "infinite values",
                        fix="repair the model, or skip this weight in the recipe",
                    )
                )
        elif pair.tensor not in statistics.tensors and pair.descriptor.amax is None:
            diagnostics.append(_unknown_range(pair, statistics))
    return diagnostics


def _unknown_range(pair: Pair, statistics: Statistics) -> Diagnostic:
    reason = "was not observed"
    fix = "calibrate again with --rules and this recipe"
    if statistics.is_imported:
        reason = "has no entry in the imported TensorRT cache"
        fix = "skip it in the recipe, or calibrate with data: 'onnxq calibrate'"
    tensor = f"the tensor '{pair.tensor}', which '{pair.edges[0].node}' reads,"
    return Diagnostic(code="OQ413", message=f"{tensor} {reason}", fix=fix)


def _merged_groups(plan: Plan, statistics: Statistics) -> dict[int, TensorStatistics]:
    """The statistics of the tensors of each group; of what left it only where nothing stayed."""
    members: dict[int, dict[str, None]] = {}
    for pair in plan.pairs:
        if pair.kind == "activation" and pair.group is not None and pair.descriptor.amax is None:
            members.setdefault(pair.group, {})[pair.tensor] = None
    for group, tensors in members.items():
        staying = dict.fromkeys(t for t in tensors if t in plan.groups[group].tensors)
        members[group] = staying or tensors
    return {
        group: reduce(add, (statistics.tensors[t] for t in tensors))
        for group, tensors in members.items()
    }


def _activation_amax(
    pair: Pair, statistics: Statistics, shared: Mapping[int, TensorStatistics]
) -> Amax:
    if pair.descriptor.amax is not None:
        return np.asarray(pair.descriptor.amax, np.float32)
    tensor = statistics.tensors[pair.tensor] if pair.group is None else shared[pair.group]
    return np.asarray(tensor.amax(pair.descriptor, tensor=pair.tensor), np.float32)


def _weight_amax(graph: Graph, pair: Pair) -> Amax:
    if pair.descriptor.amax is not None:
        return np.asarray(pair.descriptor.amax, np.float32)
    method: Literal["max", "mse"] = "mse" if pair.descriptor.method == "mse" else "max"
    to, weight = FORMATS[pair.descriptor.dtype], graph.array(pair.tensor)
    lowest = -to.largest if pair.descriptor.narrow_range else to.lowest
    amax = partial(weight_amax, method=method, levels=int(to.largest), lowest=int(lowest))
    if pair.axis is None:
        return amax(weight.reshape(1, -1), 0).reshape(())
    if (size := pair.descriptor.block_size) is None:
        return amax(weight, pair.axis)
    blocks = np.moveaxis(in_blocks(weight, pair.axis, size), pair.axis + 1, -1)
    return amax(blocks.reshape(-1, size), 0).reshape(blocks.shape[:-1])


def odd(tensor: str, amax: Amax, observed: ValueRange | None) -> list[Diagnostic]:
    """Warn of an amax close to zero, and of values that are not finite (OQ414, OQ415).

    `observed` is the range of an activation, None for a weight.
    """
    diagnostics = []
    is_nothing_finite = observed is not None and observed.count and not observed.finite
    if (amax <= SMALLEST_AMAX).all() and not is_nothing_finite:
        message = f"'{tensor}' has no value above {SMALLEST_AMAX:.2g}; its scale is set to 1"
        fix = (
            "check that the exported weights are the trained ones, or skip its op in the recipe"
            if observed is None
            else "calibrate with data that reaches it, or skip it in the recipe"
        )
        diagnostics.append(warning("OQ414", message, fix=fix))
    if observed is not None and (observed.nan or observed.inf):
        message = f"'{tensor}' had {observed.nan} NaN and {observed.inf} infinite values, left out"
        diagnostics.append(warning("OQ415", message, fix="check the data and the preprocessing"))
    return diagnostics
