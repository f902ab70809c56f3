"""Decisions -> pairs: uses of a tensor that agree share one, and what cannot be is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from onnx import TensorProto

from onnxq.descriptor import WEIGHT_METHODS, QuantDescriptor
from onnxq.diagnostics import Diagnostic, warning
from onnxq.formats import DType, type_name
from onnxq.model import node_inputs, ops
from onnxq.model.existing import dtype_at, pair_on
from onnxq.model.graph import Edge, Graph, Node
from onnxq.planning.plan import Because, Decision, Group, Pair


def fold(
    graph: Graph, decisions: tuple[Decision, ...], groups: tuple[Group, ...]
) -> tuple[tuple[Pair, ...], list[Diagnostic]]:
    """Return the pairs of all decisions, and OQ203 to OQ213 for those that cannot be made.

    Of these an unknown channel axis is a warning, which leaves all of a product in float; most
    others are errors.
    """
    group_of = {tensor: i for i, group in enumerate(groups) for tensor in group.tensors}
    wanted = [_with_one_scale(graph, d) for d in decisions if d.descriptor is not None]
    refused = {d.edge: problem for d in wanted if (problem := _impossible(graph, d)) is not None}
    problems = list(refused.values())
    in_float = {edge.node for edge in refused if _is_operand(graph, edge)}
    alike: dict[tuple[object, ...], list[Decision]] = {}
    for decision in wanted:
        # A product with a pair on one side alone would compute in float all the same.
        if decision.edge in refused or (
            decision.edge.node in in_float and _is_operand(graph, decision.edge)
        ):
            continue
        key = (decision.tensor, decision.descriptor, _axis(graph, decision))
        alike.setdefault(key, []).append(decision)
    pairs = tuple(_pair(graph, members, group_of) for members in alike.values())
    return pairs, [*problems, *_unequal(pairs, groups, decisions), *_mixed(graph, decisions, pairs)]


def _with_one_scale(graph: Graph, decision: Decision) -> Decision:
    """The decision, per tensor where it is per channel and the operand has no channel axis."""
    descriptor, edge = decision.descriptor, decision.edge
    if (
        descriptor is None
        or (descriptor.granularity, descriptor.axis) != ("per_channel", None)
        or decision.kind != "weight"
        or not node_inputs.has_one_scale(graph, graph.by_name[edge.node], edge.slot)
    ):
        return decision
    return replace(decision, descriptor=replace(descriptor, granularity="per_tensor"))


def _is_operand(graph: Graph, edge: Edge) -> bool:
    """True for what a product multiplies, which a bias is not."""
    node = graph.by_name[edge.node]
    return ops.traits(node).weighted and edge.slot in node_inputs.data_slots(graph, node)


def _pair(graph: Graph, members: list[Decision], group_of: dict[str, int]) -> Pair:
    first = members[0]
    assert first.descriptor is not None
    dtype = first.descriptor.dtype
    return Pair(
        tensor=first.tensor,
        kind=first.kind,
        descriptor=first.descriptor,
        axis=_axis(graph, first),
        edges=tuple(d.edge for d in members),
        group=group_of.get(first.tensor),
        is_half=graph.type(first.tensor).dtype == TensorProto.FLOAT16,
        existing=pair_on(graph, first.tensor, dtype) if first.kind == "activation" else None,
    )


def _axis(graph: Graph, decision: Decision) -> int | None:
    descriptor = decision.descriptor
    if descriptor is None or descriptor.granularity == "per_tensor":
        return None
    rank = len(graph.type(decision.tensor).shape or ())
    node, slot = graph.by_name[decision.edge.node], decision.edge.slot
    own = (
        node_inputs.channel_axis
        if descriptor.granularity == "per_channel"
        else node_inputs.block_axis
    )
    axis = own(graph, node, slot) if descriptor.axis is None else descriptor.axis
    return axis + rank if axis is not None and axis < 0 else axis


def _impossible(graph: Graph, decision: Decision) -> Diagnostic | None:
    descriptor, edge, because = decision.descriptor, decision.edge, decision.because
    if descriptor is None:
        return None
    is_activation = decision.kind == "activation"
    may_be = node_inputs.may_be_observed(graph, decision.tensor)
    if not graph.type(decision.tensor).may_be_float or (is_activation and not may_be):
        return _not_float(graph, decision)
    subject = f"rule '{because.rule}': the {decision.kind} '{decision.tensor}' of '{edge.node}'"
    code = message = fix = ""
    if not is_activation and descriptor.method not in (*WEIGHT_METHODS, None):
        code, message = "OQ208", f"{subject} cannot be read with method '{descriptor.method}'"
        fix = "use 'method: max' or 'method: mse' for weights"
    elif descriptor.granularity != "per_tensor" and is_activation:
        what = descriptor.granularity.replace("_", " ")
        code, message = "OQ204", f"{subject} cannot be quantized {what}"
        fix = "use a per_tensor descriptor for activations"
    elif descriptor.granularity != "per_tensor":
        return _without_axis(graph, decision, descriptor, subject)
    return Diagnostic(code=code, message=message, fix=fix, span=because.span) if code else None


def _not_float(graph: Graph, decision: Decision) -> Diagnostic:
    """OQ213 for another type than float32, OQ241 for one that is not known, in a body."""
    because, dtype = decision.because, graph.type(decision.tensor).dtype
    subject = (
        f"rule '{because.rule}': the {decision.kind} '{decision.tensor}' of '{decision.edge.node}'"
    )
    if not dtype:
        around = graph.around(graph.by_name[decision.edge.node])[-1]
        return warning(
            "OQ241",
            f"{subject} inside {around.op} '{around.name}' has a type that is not known and stays "
            "in float",
            fix="export the model with the types of its inner values (value_info)",
            span=because.span,
        )
    return Diagnostic(
        code="OQ213",
        message=f"{subject} is {type_name(dtype)}",
        fix="name only ports that hold float32 or float16 data",
        span=because.span,
    )


def _without_axis(
    graph: Graph, decision: Decision, descriptor: QuantDescriptor, subject: str
) -> Diagnostic | None:
    """What is wrong with the axis of a weight; a warning where it is of one odd node among many."""
    shape, axis = graph.type(decision.tensor).shape or (), _axis(graph, decision)
    span, size = decision.because.span, descriptor.block_size
    if axis is None:
        what = "channel axis" if size is None else "axis for blocks"
        return warning(
            "OQ206",
            f"{subject} has no {what} known to onnxq and stays in float",
            fix="give 'axis' in a descriptor for it, or use per_tensor"
            if size is None
            else "name only weights on the right of MatMul and Gemm",
            span=span,
        )
    if not 0 <= axis < len(shape):
        message = f"{subject} has rank {len(shape)} and no axis {axis}"
        fix = "correct 'axis' in the descriptor, or use per_tensor"
        return Diagnostic(code="OQ206", message=message, fix=fix, span=span)
    length = shape[axis]
    if size is not None and isinstance(length, int) and length % size:
        return warning(
            "OQ551",
            f"{subject} has {length} values along axis {axis}, which are no whole blocks of "
            f"{size}, and stays in float",
            fix="use a smaller 'block_size' for it, or skip it",
            span=span,
        )
    return None


def _mixed(
    graph: Graph, decisions: tuple[Decision, ...], pairs: tuple[Pair, ...]
) -> Iterator[Diagnostic]:
    """OQ550 for matrix products whose two sides cannot meet, once for each two rules."""
    of_edge = {edge: pair.descriptor.dtype for pair in pairs for edge in pair.edges}
    why = {d.edge: d.because for d in decisions}
    by_rules: dict[tuple[str, ...], list[tuple[Node, tuple[DType, ...]]]] = {}
    for node in graph.nodes:
        sides = _sides(graph, node, of_edge) if ops.traits(node).weighted else {}
        if len(kinds := tuple(dict.fromkeys(sides.values()))) > 1:
            rules = tuple(dict.fromkeys(why[e].rule for e in sides if e in why))
            if not rules:  # pairs that the model has: lint speaks of those
                continue
            by_rules.setdefault(rules, []).append((node, kinds))
    for rules, products in by_rules.items():
        node, kinds = products[0]
        others = "" if len(products) == 1 else f" and {len(products) - 1} more"
        at = max((why[e] for e in _edges(graph, node) if e in why), key=lambda b: b.span.line)
        yield Diagnostic(
            code="OQ550",
            message=f"{node.op} '{node.name}'{others} would multiply {' by '.join(kinds)}, by "
            f"{' and '.join(repr(r) for r in rules)}, which TensorRT "
            + ("does in float, or does not build" if "int4" in kinds else "does not build"),
            fix="give both sides of an op the same dtype; int4 weights need a float activation",
            span=at.span,
        )


def _edges(graph: Graph, node: Node) -> tuple[Edge, ...]:
    return tuple(Edge(node=node.name, slot=s) for s in node_inputs.data_slots(graph, node))


def _sides(graph: Graph, node: Node, of_edge: Mapping[Edge, DType]) -> dict[Edge, DType]:
    """The types of the quantized operands of a product, those of pairs that it has already too."""
    dtypes = {e: of_edge.get(e) or dtype_at(graph, graph.tensor(e)) for e in _edges(graph, node)}
    return {edge: dtype for edge, dtype in dtypes.items() if dtype is not None}


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
            both = " and ".join(_described(p, why[p.edges[0]]) for p in (odd, other))
            yield Diagnostic(
                code="OQ203",
                message=f"rule '{tie.rule}' ({tie.span.place}) ties pairs that differ: {both}",
                fix=f"give them one descriptor, {untie}",
                span=why[odd.edges[0]].span,
            )


def _described(pair: Pair, because: Because) -> str:
    return f"'{pair.tensor}' is {pair.descriptor} by rule '{because.rule}'"
