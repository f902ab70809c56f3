"""What a plan tells of the boxes and wires of a network: types, pairs, rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from onnxq.model.existing import dtype_at
from onnxq.model.graph import Edge, Graph, Node
from onnxq.model.node_inputs import data_slots
from onnxq.model.products import is_product, kept_float
from onnxq.planning.plan import FLOAT, Decision, Pair, Plan
from onnxq.render.network.graph import Network

REST: Final = "rest"  # ops that no rule decides and that multiply nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Types by the name of a node, inputs with what is decided by node, and tensors with a pair.

    A type is that of the pairs, "float" for a product without them, REST for all other ops.
    `paired` are a tensor and the node that reads it through a pair.
    """

    types: Mapping[str, str]
    inputs: Mapping[str, tuple[dict[str, Any], ...]]
    paired: frozenset[tuple[str, str]]


def placements(network: Network, plan: Plan) -> Placement:
    """What a plan decides for the nodes of a network."""
    graph = plan.graph
    nodes = [graph.by_name[box.name] for box in network.boxes if box.kind == "node"]
    pairs = {edge: pair for pair in plan.pairs for edge in pair.edges}
    decisions = {decision.edge: decision for decision in plan.decisions}
    labels = dict(_labels(plan))
    return Placement(
        types={node.name: _type(graph, node, pairs) for node in nodes},
        inputs={node.name: tuple(_inputs(graph, node, pairs, decisions, labels)) for node in nodes},
        paired=frozenset((graph.tensor(edge), edge.node) for edge in pairs),
    )


def _type(graph: Graph, node: Node, pairs: Mapping[Edge, Pair]) -> str:
    edges = [Edge(node=node.name, slot=slot) for slot in data_slots(graph, node)]
    types = [_paired_type(graph, edge, pairs) for edge in edges]
    known = [dtype for dtype in types if dtype is not None]
    if not is_product(graph, node):
        return known[0] if known else REST
    if "int4" in known:
        return "int4"
    is_float = not known or None in types or kept_float(node)
    return FLOAT if is_float else known[0]


def _paired_type(graph: Graph, edge: Edge, pairs: Mapping[Edge, Pair]) -> str | None:
    """The type of the pair that an input is read through; None for none."""
    if edge in pairs:
        return pairs[edge].descriptor.dtype
    return dtype_at(graph, graph.tensor(edge))


def _inputs(
    graph: Graph,
    node: Node,
    pairs: Mapping[Edge, Pair],
    decisions: Mapping[Edge, Decision],
    labels: Mapping[str, str],
) -> Iterator[dict[str, Any]]:
    """The inputs of a node that are decided, or could have been."""
    data = data_slots(graph, node)
    for slot, tensor in enumerate(node.inputs):
        edge = Edge(node=node.name, slot=slot)
        decision, pair = decisions.get(edge), pairs.get(edge)
        if decision is None and not (is_product(graph, node) and slot in data):
            continue
        yield {
            "input": slot,
            "tensor": tensor,
            "descriptor": FLOAT if pair is None else pair.descriptor.text(pair.axis),
            "group": labels.get(tensor, ""),
            "rule": "" if decision is None else decision.because.rule,
            "where": "" if decision is None else decision.because.span.place,
            "why": "no rule decides it" if decision is None else decision.because.why,
            "overrides": [] if decision is None else [b.rule for b in decision.overrides],
        }


def _labels(plan: Plan) -> Iterator[tuple[str, str]]:
    """The name of the share group of each tensor that is in one."""
    for tie, label in plan.labelled_ties():
        yield from ((tensor, label) for tensor in tie.tensors)
