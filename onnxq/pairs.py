"""Decisions -> pairs: uses of a tensor that agree share one, and what cannot be is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from onnx import TensorProto

from onnxq import ops
from onnxq.descriptor import WEIGHT_METHODS
from onnxq.diagnostics import Diagnostic, warning
from onnxq.existing import pair_on
from onnxq.graph import Graph
from onnxq.plan import Because, Decision, Group, Pair


def fold(
    graph: Graph, decisions: tuple[Decision, ...], groups: tuple[Group, ...]
) -> tuple[tuple[Pair, ...], list[Diagnostic]]:
    """Return the pairs of all decisions, and OQ203 to OQ213 for those that cannot be made.

    Of these an unknown channel axis is a warning; all others are errors.
    """
    group_of = {tensor: i for i, group in enumerate(groups) for tensor in group.tensors}
    alike: dict[tuple[object, ...], list[Decision]] = {}
    problems: list[Diagnostic] = []
    for decision in decisions:
        if decision.descriptor is None:
            continue
        if (problem := _impossible(graph, decision)) is not None:
            problems.append(problem)
        else:
            key = (decision.tensor, decision.descriptor, _axis(graph, decision))
            alike.setdefault(key, []).append(decision)
    pairs = tuple(_pair(graph, members, group_of) for members in alike.values())
    return pairs, [*problems, *_unequal(pairs, groups, decisions)]


def _pair(graph: Graph, members: list[Decision], group_of: dict[str, int]) -> Pair:
    first = members[0]
    assert first.descriptor is not None
    return Pair(
        tensor=first.tensor,
        kind=first.kind,
        descriptor=first.descriptor,
        axis=_axis(graph, first),
        edges=tuple(d.edge for d in members),
        group=group_of.get(first.tensor),
        existing=pair_on(graph, first.tensor) if first.kind == "activation" else None,
    )


def _axis(graph: Graph, decision: Decision) -> int | None:
    descriptor = decision.descriptor
    if descriptor is None or descriptor.granularity != "per_channel":
        return None
    rank = len(graph.type(decision.tensor).shape or ())
    node, slot = graph.by_name[decision.edge.node], decision.edge.slot
    axis = ops.channel_axis(graph, node, slot) if descriptor.axis is None else descriptor.axis
    return axis + rank if axis is not None and axis < 0 else axis


def _impossible(graph: Graph, decision: Decision) -> Diagnostic | None:
    descriptor, edge, because = decision.descriptor, decision.edge, decision.because
    if descriptor is None:
        return None
    subject = f"rule '{because.rule}': the {decision.kind} '{decision.tensor}' of '{edge.node}'"
    code = message = fix = ""
    if (dtype := graph.type(decision.tensor).dtype) not in (0, TensorProto.FLOAT):
        code, message = "OQ213", f"{subject} is {TensorProto.DataType.Name(dtype).lower()}"
        fix = "name only ports that hold float32 data"
    elif decision.kind == "weight" and descriptor.method not in WEIGHT_METHODS:
        code, message = "OQ208", f"{subject} cannot be read with method '{descriptor.method}'"
        fix = "use 'method: max' or 'method: mse' for weights"
    elif descriptor.granularity == "per_channel" and decision.kind == "activation":
        code, message = "OQ204", f"{subject} cannot be quantized per channel"
        fix = "use a per_tensor descriptor for activations"
    elif descriptor.granularity == "per_channel":
        axis, rank = _axis(graph, decision), len(graph.type(decision.tensor).shape or ())
        if axis is None:
            # Of one odd node among many: no reason to refuse the model.
            return warning(
                "OQ206",
                f"{subject} has no channel axis known to onnxq and stays in float",
                fix="give 'axis' in a descriptor for it, or use per_tensor",
                span=because.span,
            )
        if not 0 <= axis < rank:
            code, message = "OQ206", f"{subject} has rank {rank} and no axis {axis}"
            fix = "correct 'axis' in the descriptor, or use per_tensor"
    return Diagnostic(code=code, message=message, fix=fix, span=because.span) if code else None


def _unequal(
    pairs: tuple[Pair, ...], groups: tuple[Group, ...], decisions: tuple[Decision, ...]
) -> Iterator[Diagnostic]:
    why = {d.edge: d.because for d in decisions}
    for index, group in enumerate(groups):
        members = [p for p in pairs if p.group == index]
        tie = group.because[0]
        untie = f"or untie them with a later rule that has 'share_scale: []' at '{tie.node}'"
        if len(members) > 1 and (weight := next((p for p in members if p.kind == "weight"), None)):
            yield Diagnostic(
                code="OQ203",
                message=f"rule '{tie.rule}' ties the weight '{weight.tensor}', "
                "whose range is its own",
                fix="share scales of activations only",
                span=tie.span,
            )
        elif len(kinds := Counter(p.descriptor for p in members)) > 1:
            odd = min(members, key=lambda p: kinds[p.descriptor])
            other = next(p for p in members if p.descriptor != odd.descriptor)
            told = " and ".join(_told(p, why[p.edges[0]]) for p in (odd, other))
            yield Diagnostic(
                code="OQ203",
                message=f"rule '{tie.rule}' ({tie.span.file}:{tie.span.line}) ties pairs that "
                f"differ: {told}",
                fix=f"give them one descriptor, {untie}",
                span=why[odd.edges[0]].span,
            )


def _told(pair: Pair, because: Because) -> str:
    return f"'{pair.tensor}' is {pair.descriptor} by rule '{because.rule}'"
