"""Graph x recipe -> Plan: rules are applied in order, and the last that matches a site wins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from onnxq import ops
from onnxq.descriptor import WEIGHT_METHODS, QuantDescriptor
from onnxq.diagnostics import Diagnostic, OnnxqError, warning
from onnxq.graph import Edge, Graph, Node
from onnxq.plan import Because, Decision, Group, Pair, Plan
from onnxq.recipe import Recipe, Rule
from onnxq.selectors import Binding


def plan(graph: Graph, recipe: Recipe) -> Plan:
    """Apply every rule of the recipe in order; the last that matches a site wins.

    Raises OnnxqError when the decisions contradict each other or TensorRT's rules (OQ2xx errors).
    """
    cascade = _Cascade(graph)
    for rule in recipe.rules:
        cascade.apply(rule)
    decisions = cascade.decisions()
    groups = cascade.groups()
    pairs, problems = _pairs(graph, decisions, groups)
    problems += _unequal(pairs, groups)
    if problems:
        raise OnnxqError(*problems)
    diagnostics = list(cascade.diagnostics)
    if not pairs:
        diagnostics.append(
            warning(
                "OQ205",
                f"recipe '{recipe.name}' quantizes nothing in this model",
                fix="check its 'match' keys against the model's ops and names",
            )
        )
    return Plan(
        model_digest=graph.digest,
        recipe=recipe.name,
        recipe_digest=recipe.digest,
        decisions=decisions,
        pairs=pairs,
        groups=groups,
        unmatched=tuple(cascade.unmatched),
        diagnostics=tuple(diagnostics),
    )


@dataclass(slots=True)
class _Cascade:
    """The state while rules are applied one after the other."""

    graph: Graph
    decided: dict[Edge, list[tuple[QuantDescriptor | None, Because]]] = field(default_factory=dict)
    parent: dict[str, str] = field(default_factory=dict)
    ties: list[tuple[str, Because]] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    by_type: dict[str, list[Node]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.graph.nodes:
            self.by_type.setdefault(node.type, []).append(node)

    def apply(self, rule: Rule) -> None:
        types = rule.selector.op_types()
        nodes = (
            self.graph.nodes
            if types is None
            else [n for t in sorted(types) for n in self.by_type.get(t, ())]
        )
        matched = False
        for node in nodes:
            bindings = rule.selector.matches(self.graph, node)
            matched = matched or bool(bindings)
            if len(bindings) > 1:
                self.diagnostics.append(_ambiguous(rule, node, bindings))
            elif bindings:
                self._act(rule, node, bindings[0])
        if not matched:
            self.unmatched.append(rule.id)
        if not matched and rule.own:
            self.diagnostics.append(
                warning(
                    "OQ201",
                    f"rule '{rule.id}' matched nothing in this model",
                    fix="correct its 'match', or delete the rule",
                    span=rule.span,
                )
            )

    def _act(self, rule: Rule, node: Node, binding: Binding) -> None:
        because = Because(rule=rule.id, why=rule.why, span=rule.span, node=node.name)
        for port, descriptor in rule.quantize:
            for edge in self._edges(rule, node, binding, port):
                self.decided.setdefault(edge, []).append((descriptor, because))
        for port in rule.skip:
            for edge in self._edges(rule, node, binding, port):
                self.decided.setdefault(edge, []).append((None, because))
        tied = [t for port in rule.share_scale for t in self._tensors(node, binding, port)]
        self._tie(tied, because)

    def _edges(self, rule: Rule, node: Node, binding: Binding, port: str) -> list[Edge]:
        if port in binding:
            return list(binding[port].edges)
        if port == "outputs":
            return [e for out in node.outputs for e in self.graph.consumers(out)]
        slots = self._slots(node, port)
        if slots is None:
            self.diagnostics.append(
                warning(
                    "OQ207",
                    f"rule '{rule.id}' names {port}, which {node.op} '{node.name}' does not have",
                    fix="name a port that every matched node has",
                    span=rule.span,
                )
            )
        return [Edge(node=node.name, slot=s) for s in slots or ()]

    def _slots(self, node: Node, port: str) -> tuple[int, ...] | None:
        match port:
            case "inputs":
                return ops.activation_slots(self.graph, node)
            case "weights":
                return ops.weight_slots(self.graph, node)
            case "all":
                return ops.data_slots(self.graph, node)
        slot = int(port.removeprefix("input[").removesuffix("]"))
        return (slot,) if slot < len(node.inputs) and node.inputs[slot] else None

    def _tensors(self, node: Node, binding: Binding, port: str) -> tuple[str, ...]:
        if port in binding:
            return binding[port].tensors
        if port == "outputs":
            return tuple(out for out in node.outputs if out)
        return tuple(node.inputs[s] for s in self._slots(node, port) or ())

    def _tie(self, tensors: Iterable[str], because: Because) -> None:
        first: str | None = None
        for tensor in tensors:
            self.parent.setdefault(tensor, tensor)
            if first is None:
                first = tensor
                self.ties.append((tensor, because))
            self.parent[self._root(tensor)] = self._root(first)

    def _root(self, tensor: str) -> str:
        while self.parent[tensor] != tensor:
            self.parent[tensor] = self.parent[self.parent[tensor]]
            tensor = self.parent[tensor]
        return tensor

    def decisions(self) -> tuple[Decision, ...]:
        return tuple(
            Decision(
                tensor=self.graph.tensor(edge),
                edge=edge,
                kind="weight" if self.graph.is_constant(self.graph.tensor(edge)) else "activation",
                descriptor=said[-1][0],
                because=said[-1][1],
                overrides=tuple(because for _, because in said[:-1]),
            )
            for node in self.graph.nodes
            for slot in range(len(node.inputs))
            if (said := self.decided.get(edge := Edge(node=node.name, slot=slot)))
        )

    def groups(self) -> tuple[Group, ...]:
        members: dict[str, list[str]] = {}
        for tensor in self.parent:
            members.setdefault(self._root(tensor), []).append(tensor)
        reasons: dict[str, list[Because]] = {}
        for tensor, because in self.ties:
            reasons.setdefault(self._root(tensor), []).append(because)
        return tuple(
            Group(tensors=tuple(tensors), because=tuple(reasons[root]))
            for root, tensors in members.items()
            if len(tensors) > 1
        )


def _ambiguous(rule: Rule, node: Node, bindings: list[Binding]) -> Diagnostic:
    name = next(n for n in sorted(bindings[0]) if bindings[0][n] != bindings[1].get(n))
    first, second = ("', '".join(b[name].tensors) for b in bindings[:2])
    return warning(
        "OQ202",
        f"rule '{rule.id}' binds {len(bindings)} ways at {node.op} '{node.name}': "
        f"'{name}' can be '{first}' or '{second}'; not applied there",
        fix="say more in its pattern so that one way is left",
        span=rule.span,
    )


def _pairs(
    graph: Graph, decisions: tuple[Decision, ...], groups: tuple[Group, ...]
) -> tuple[tuple[Pair, ...], list[Diagnostic]]:
    """Fold the uses of a tensor that agree into one pair."""
    group_of = {tensor: i for i, group in enumerate(groups) for tensor in group.tensors}
    folded: dict[tuple[str, QuantDescriptor, int | None], list[Decision]] = {}
    problems: list[Diagnostic] = []
    for decision in decisions:
        if decision.descriptor is None:
            continue
        problem = _impossible(graph, decision)
        if problem is not None:
            problems.append(problem)
        else:
            axis = _axis(graph, decision)
            folded.setdefault((decision.tensor, decision.descriptor, axis), []).append(decision)
    pairs = tuple(
        Pair(
            tensor=tensor,
            kind=members[0].kind,
            descriptor=descriptor,
            axis=axis,
            edges=tuple(d.edge for d in members),
            group=group_of.get(tensor),
        )
        for (tensor, descriptor, axis), members in folded.items()
    )
    return pairs, problems


def _axis(graph: Graph, decision: Decision) -> int | None:
    descriptor = decision.descriptor
    if descriptor is None or descriptor.granularity != "per_channel":
        return None
    rank = len(graph.type(decision.tensor).shape or ())
    node, slot = graph.by_name[decision.edge.node], decision.edge.slot
    axis = ops.channel_axis(graph, node, slot) if descriptor.axis is None else descriptor.axis
    return axis + rank if axis is not None and axis < 0 else axis


def _impossible(graph: Graph, decision: Decision) -> Diagnostic | None:
    descriptor, edge = decision.descriptor, decision.edge
    if descriptor is None:
        return None
    if decision.kind == "weight" and descriptor.method not in WEIGHT_METHODS:
        return Diagnostic(
            code="OQ208",
            message=f"rule '{decision.because.rule}' reads the weight '{decision.tensor}' of "
            f"'{edge.node}' with method '{descriptor.method}'",
            fix="use 'method: max' or 'method: mse' for weights",
            span=decision.because.span,
        )
    if descriptor.granularity != "per_channel":
        return None
    if decision.kind == "activation":
        return Diagnostic(
            code="OQ204",
            message=f"rule '{decision.because.rule}' asks a per-channel pair for the activation "
            f"'{decision.tensor}' of '{edge.node}'",
            fix="use a per_tensor descriptor for activations",
            span=decision.because.span,
        )
    axis, rank = _axis(graph, decision), len(graph.type(decision.tensor).shape or ())
    if axis is None or not 0 <= axis < rank:
        return Diagnostic(
            code="OQ206",
            message=f"rule '{decision.because.rule}': the weight '{decision.tensor}' of "
            f"'{edge.node}' has rank {rank} and no channel axis {'' if axis is None else axis}",
            fix="give 'axis' in the descriptor, or use per_tensor",
            span=decision.because.span,
        )
    return None


def _unequal(pairs: tuple[Pair, ...], groups: tuple[Group, ...]) -> Iterator[Diagnostic]:
    for index, group in enumerate(groups):
        members = [p for p in pairs if p.group == index]
        if len({(p.descriptor, p.kind) for p in members}) > 1:
            told = ", ".join(f"'{p.tensor}' ({p.descriptor})" for p in members[:4])
            yield Diagnostic(
                code="OQ203",
                message=f"rule '{group.because[0].rule}' ties pairs that differ: {told}",
                fix="give them one descriptor",
                span=group.because[0].span,
            )
