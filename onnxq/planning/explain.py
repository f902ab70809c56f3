"""Why a node, a tensor or a rule is as it is: winners, losers, groups and near misses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from onnxq.diagnostics import Diagnostic, OnnxqError, did_you_mean, error
from onnxq.model import node_inputs
from onnxq.model.graph import Edge, Graph, Node
from onnxq.planning.plan import FLOAT, Decision, Group, Improvable, Kept, Pair, Plan
from onnxq.planning.recipe import Recipe
from onnxq.planning.rule_compiler import Rule
from onnxq.planning.selectors import Binding, Miss, Search

_FEW: Final = 3  # names shown of many


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteExplanation:
    """One input of a node: what was decided and why; `decision` is None when no rule spoke.

    `group` is the share group of its tensor, whether it has a pair or not.
    """

    edge: Edge
    tensor: str
    decision: Decision | None
    pair: Pair | None
    group: Group | None

    @property
    def descriptor(self) -> str:
        """The descriptor of the pair in one word, or 'float'."""
        return FLOAT if self.pair is None else self.pair.descriptor.text(self.pair.axis)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        decision = self.decision
        return {
            "node": self.edge.node,
            "input": self.edge.slot,
            "tensor": self.tensor,
            "descriptor": self.descriptor,
            "decided_by": None if decision is None else decision.because.with_reason(),
            "overrides": [] if decision is None else [b.to_dict() for b in decision.overrides],
            "shares_with": [] if self.group is None else list(self.group.tensors),
            "ties": [] if self.group is None else [t.to_dict() for t in self.group.ties],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleExplanation:
    """What a rule matched; when it matched nothing, the node that came nearest and why it failed.

    `ambiguous` are the matches at which it was not applied. `failures` say why the rule could not
    be matched at all (OQ105, OQ226).
    """

    rule: Rule
    matched: tuple[tuple[Node, Binding], ...]
    ambiguous: tuple[Node, ...]
    nearest: tuple[Node, Miss] | None
    failures: tuple[Diagnostic, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        nearest = None
        if self.nearest is not None:
            nearest = {"node": self.nearest[0].name, "but": self.nearest[1].text}
        return {
            "rule": self.rule.id,
            "file": self.rule.span.file,
            "line": self.rule.span.line,
            "why": self.rule.why,
            "matches": [
                {"node": node.name, "names": {k: list(b.tensors) for k, b in binding.items()}}
                for node, binding in self.matched
            ],
            "ambiguous": [node.name for node in self.ambiguous],
            "nearest": nearest,
            "failures": [d.message for d in self.failures],
        }


Explanation = SiteExplanation | RuleExplanation | Kept | Improvable


def explain(graph: Graph, recipe: Recipe, plan: Plan, target: str) -> tuple[Explanation, ...]:
    """Explain a node, a tensor or a rule by its name (OQ214 when it is none of them).

    `plan` may be a draft with errors; a rule that cannot be matched is explained by its failures.
    """
    rules = tuple(_rule(graph, r) for r in recipe.rules if r.id == target)
    if rules:
        return rules
    if (node := graph.by_name.get(target)) is not None:
        edges = [Edge(node=target, slot=slot) for slot in node_inputs.data_slots(graph, node)]
    else:
        edges = list(graph.consumers(target))
    decided = {d.edge: d for d in plan.decisions}
    edges += [e for e in decided if e.node == target and e not in edges]
    if not edges and node is None and graph.producer(target) is None:
        names = {*graph.by_name, *(r.id for r in recipe.rules), *(d.tensor for d in plan.decisions)}
        raise error(
            "OQ214",
            f"'{target}' is not the name of a node, a tensor or a rule",
            fix=_names_like(target, names),
        )
    sites = (_site(graph, plan, decided, edge) for edge in edges)
    kept = (op for op in plan.kept if op.node == target)
    improvable = (op for op in plan.improvable if op.node == target)
    return (*sites, *kept, *improvable)


def _names_like(target: str, names: Iterable[str]) -> str:
    """Names that contain the target, the shortest first; without any, the most similar name."""
    holding = sorted((n for n in names if target and target in n), key=lambda n: (len(n), n))
    if not holding:
        return did_you_mean(target, names, otherwise="give a node, a tensor, a rule id or a code")
    more = f" and {len(holding) - _FEW} more" if len(holding) > _FEW else ""
    return f"names that contain it: {', '.join(holding[:_FEW])}{more}"


def _site(graph: Graph, plan: Plan, decided: dict[Edge, Decision], edge: Edge) -> SiteExplanation:
    pair = next((p for p in plan.pairs if edge in p.edges), None)
    group = next((g for g in plan.groups if graph.tensor(edge) in g.tensors), None)
    return SiteExplanation(
        edge=edge,
        tensor=graph.tensor(edge),
        decision=decided.get(edge),
        pair=pair,
        group=group,
    )


def _rule(graph: Graph, rule: Rule) -> RuleExplanation:
    try:
        matches = rule.select(graph)
    except OnnxqError as failure:
        return RuleExplanation(
            rule=rule, matched=(), ambiguous=(), nearest=None, failures=failure.diagnostics
        )
    return RuleExplanation(
        rule=rule,
        matched=tuple((node, ways[0]) for node, ways in matches if len(ways) == 1),
        ambiguous=tuple(node for node, ways in matches if len(ways) > 1),
        nearest=None if matches else _nearest(graph, rule),
    )


def _nearest(graph: Graph, rule: Rule) -> tuple[Node, Miss] | None:
    """The node that fits most of the rule; None when no node has an op that could match."""
    nearest: tuple[Node, Miss] | None = None
    search = Search(graph)
    for node in search.nodes(rule.selector.op_types()):
        try:
            miss = rule.selector.miss(search, node, [{}])
        except OnnxqError as failure:
            return nearest or (node, Miss(depth=0, text=failure.diagnostics[0].message))
        if miss is None:
            miss = Miss(depth=len(rule.selector.predicates), text="it is not at the position")
        if nearest is None or miss.depth > nearest[1].depth:
            nearest = (node, miss)
    return nearest
