"""Plan x statistics x weights -> the scale of every pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial, reduce
from operator import add
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration import methods
from onnxq.calibration.histogram import ValueRange
from onnxq.calibration.statistics import Statistics, TensorStatistics
from onnxq.diagnostics import Diagnostic, OnnxqError, warning
from onnxq.formats import FORMATS
from onnxq.model.existing import scale_at
from onnxq.model.graph import Graph
from onnxq.model.scopes import Scope, owner
from onnxq.planning.plan import Pair, Plan
from onnxq.quantization import SMALLEST_AMAX, in_blocks, representable, scale_of

Amax = NDArray[np.float32]  # scalar, one a channel, or one a block
Scale = NDArray[np.float32 | np.float16]  # likewise


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scales:
    """The scale of every pair of a plan, and what was odd.

    Scales are float32, of float16 tensors float16: a scalar, one a channel, or one a block in the
    rank of the weight. Pairs are those of the plan, less the uses of which the data say nothing
    (OQ240).
    """

    by_pair: Mapping[Pair, Scale]
    diagnostics: tuple[Diagnostic, ...]

    def __getitem__(self, pair: Pair) -> Scale:
        return self.by_pair[pair]


def compute_scales(graph: Graph, plan: Plan, statistics: Statistics) -> Scales:
    """Read amax of every pair by its method, and of a share group from its merged histograms.

    Raises OnnxqError with every OQ413, OQ416 and OQ417; all-zero tensors get scale 1 and a warning.
    An op in a body that reads a value of that body which the data never made has no pair (OQ240).
    """
    if unusable := _unusable(graph, plan, statistics):
        raise OnnxqError(*unusable)
    shared = _merged_groups(plan, statistics)
    plan, unseen = _seen(graph, plan, statistics, shared)
    given, unequal = _existing_scales(graph, plan)
    amaxes = {
        pair: _weight_amax(graph, pair)
        if pair.kind == "weight"
        else _activation_amax(pair, statistics, shared)
        for pair in plan.pairs
        if pair not in given
    }
    ranges = {name: tensor.range for name, tensor in statistics.tensors.items()}
    told = (
        diagnostic
        for pair, amax in amaxes.items()
        for diagnostic in odd(
            pair.tensor, amax, None if pair.kind == "weight" else ranges[pair.tensor]
        )
    )
    scales = given | {p: scale_of(amax, p.descriptor.dtype) for p, amax in amaxes.items()}
    return Scales(
        by_pair={pair: _in_type_of(pair, scales[pair]) for pair in plan.pairs},
        diagnostics=(*unseen, *unequal, *told),
    )


def _seen(
    graph: Graph, plan: Plan, statistics: Statistics, shared: Mapping[int, TensorStatistics]
) -> tuple[Plan, list[Diagnostic]]:
    """Leave out what reads values of bodies that never were, as in a branch that was not taken."""

    def is_unseen(pair: Pair) -> bool:
        if pair.kind == "weight" or pair.existing or not graph.home(pair.tensor):
            return False
        seen = statistics.tensors[pair.tensor] if pair.group is None else shared[pair.group]
        return not isinstance(seen.values, methods.ImportedAmax) and not seen.range.count

    lost: dict[Scope, list[Pair]] = {}
    for pair in filter(is_unseen, plan.pairs):
        lost.setdefault(graph.home(pair.tensor), []).append(pair)
    gone = {edge.node for pairs in lost.values() for pair in pairs for edge in pair.edges}
    kept = (
        replace(pair, edges=tuple(e for e in pair.edges if e.node not in gone))
        for pair in plan.pairs
    )
    told = [_never_was(graph, scope, pairs) for scope, pairs in lost.items()]
    return replace(plan, pairs=tuple(pair for pair in kept if pair.edges)), told


def _never_was(graph: Graph, scope: Scope, pairs: list[Pair]) -> Diagnostic:
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
    """Scales of pairs on tensors that have one already, or are tied to such tensors.

    Where the scales that a group has differ, its new pairs take their own, with OQ534.
    """
    given: dict[Pair, Amax] = {}
    unequal = []
    for index, group in enumerate(plan.groups):
        new = [p for p in plan.pairs if p.group == index and p.kind == "activation"]
        dtype = new[0].descriptor.dtype if new else "int8"
        has = {t: s for t in group.tensors if (s := scale_at(graph, t, dtype)) is not None}
        if len({float(s) for s in has.values()}) == 1:
            given |= dict.fromkeys(new, next(iter(has.values())))
        elif has and new:
            one, other = list(has)[:2]
            unequal.append(
                warning(
                    "OQ534",
                    f"rule '{group.because[0].rule}' ties '{one}' and '{other}', which have pairs "
                    "of different scale already; these stay as they are",
                    fix="--existing strip takes them out, so that all are placed by the rules",
                )
            )
    for pair in plan.pairs:
        scale = scale_at(graph, pair.tensor, pair.descriptor.dtype) if pair.existing else None
        if scale is not None:
            given[pair] = scale
    return given, unequal


def _unusable(graph: Graph, plan: Plan, statistics: Statistics) -> list[Diagnostic]:
    found = []
    for pair in plan.pairs:
        if pair.kind == "weight":
            if not methods.all_finite(graph.array(pair.tensor)):
                found.append(
                    Diagnostic(
                        code="OQ417",
                        message=f"the weight '{pair.tensor}' of '{pair.edges[0].node}' has NaN or "
                        "infinite values",
                        fix="repair the model, or skip this weight in the recipe",
                    )
                )
        elif pair.tensor not in statistics.tensors:
            found.append(_unknown_range(pair, statistics))
    return found


def _unknown_range(pair: Pair, statistics: Statistics) -> Diagnostic:
    what = f"the tensor '{pair.tensor}', which '{pair.edges[0].node}' reads, "
    if statistics.calibrator == "cache":
        told = what + "has no entry in the imported TensorRT cache"
        fix = "skip it in the recipe, or calibrate with data: 'onnxq calibrate'"
    else:
        told, fix = what + "was not observed", "calibrate again with --rules and this recipe"
    return Diagnostic(code="OQ413", message=told, fix=fix)


def _merged_groups(plan: Plan, statistics: Statistics) -> dict[int, TensorStatistics]:
    members: dict[int, dict[str, None]] = {}
    for pair in plan.pairs:
        if pair.kind == "activation" and pair.group is not None:
            members.setdefault(pair.group, {})[pair.tensor] = None
    return {
        group: reduce(add, (statistics.tensors[t] for t in tensors))
        for group, tensors in members.items()
    }


def _activation_amax(
    pair: Pair, statistics: Statistics, shared: Mapping[int, TensorStatistics]
) -> Amax:
    seen = statistics.tensors[pair.tensor] if pair.group is None else shared[pair.group]
    return np.asarray(seen.amax(pair.descriptor, tensor=pair.tensor), np.float32)


def _weight_amax(graph: Graph, pair: Pair) -> Amax:
    method: Literal["max", "mse"] = "mse" if pair.descriptor.method == "mse" else "max"
    to, weight = FORMATS[pair.descriptor.dtype], graph.array(pair.tensor)
    lowest = -to.largest if pair.descriptor.narrow_range else to.lowest
    amax = partial(methods.weight_amax, method=method, levels=int(to.largest), lowest=int(lowest))
    if pair.axis is None:
        return amax(weight.reshape(1, -1), 0).reshape(())
    if (size := pair.descriptor.block_size) is None:
        return amax(weight, pair.axis)
    blocks = np.moveaxis(in_blocks(weight, pair.axis, size), pair.axis + 1, -1)
    return amax(blocks.reshape(-1, size), 0).reshape(blocks.shape[:-1])


def odd(tensor: str, amax: Amax, seen: ValueRange | None) -> list[Diagnostic]:
    """Tell of an amax that is next to nothing, and of values that it leaves out (OQ414, OQ415).

    `seen` is what was observed of an activation, None for a weight.
    """
    found = []
    if (amax <= SMALLEST_AMAX).all() and (seen is None or seen.finite or not seen.count):
        told = f"'{tensor}' has no value above {SMALLEST_AMAX:.2g}; its scale is set to 1"
        fix = "calibrate with data that reaches it, or skip it in the recipe"
        found.append(warning("OQ414", told, fix=fix))
    if seen is not None and (seen.nan or seen.inf):
        told = f"'{tensor}' had {seen.nan} NaN and {seen.inf} infinite values, left out"
        found.append(warning("OQ415", told, fix="check the data and the preprocessing"))
    return found
