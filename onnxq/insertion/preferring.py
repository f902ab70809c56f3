"""Plan x scales -> the scales without pairs of ops that compute in half precision instead."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import Diagnostic, Severity, counted
from onnxq.insertion.precision import Half, fp32_ops
from onnxq.insertion.scale_table import Scales
from onnxq.model.graph import Edge, Graph
from onnxq.model.node_inputs import crossed
from onnxq.model.ops import traits
from onnxq.model.products import is_product
from onnxq.planning.plan import Pair, Plan


def without_half_ops(
    graph: Graph, plan: Plan, scales: Scales, statistics: Statistics, half: Half
) -> Scales:
    """The scales less the pairs of ops that the rules prefer in half precision (`prefer_half`).

    An op that has to stay in FP32 keeps its pairs: in FP32 it would be slower than in INT8. So do
    ops in the bodies of control flow, which stay in FP32 as a whole.
    A pair in front of ops that only move values, such as of a cut into queries, keys and values,
    goes too where one of its readers is such an op: TensorRT lets the DequantizeLinear travel. The
    product in front of such a cut would compute in float then (OQ642), and loses its pairs.
    """
    preferring = {k.node for k in plan.kept if k.choice == "prefer-half"}
    if not preferring:
        return scales
    bodies = {node.name for node in graph.nodes if node.scope}
    preferring -= bodies | fp32_ops(graph, plan, statistics, half).reasons.keys()
    left = {pair: _edges_left(graph, pair, preferring) for pair in scales.by_pair}
    uncut = {
        _maker(graph, pair) for pair, edges in left.items() if _lost_its_cut(graph, pair, edges)
    }
    by_pair = {}
    for pair, scale in scales.by_pair.items():
        if edges := tuple(edge for edge in left[pair] if edge.node not in uncut):
            by_pair[replace(pair, edges=edges)] = scale
    return replace(scales, by_pair=by_pair)


def not_in_half(plan: Plan) -> tuple[Diagnostic, ...]:
    """OQ518 for ops that the rules prefer in half precision where the float rest is FP32."""
    preferring = [k for k in plan.kept if k.choice == "prefer-half"]
    if not preferring:
        return ()
    first = preferring[0]
    return (
        Diagnostic(
            code="OQ518",
            message=f"{counted(len(preferring), 'op')} would be faster in FP16 than in INT8, such "
            f"as '{first.node}', by rule '{first.because.rule}'",
            fix="--float fp16 computes them and all other ops without pairs in FP16",
            severity=Severity.INFO,
        ),
    )


def _edges_left(graph: Graph, pair: Pair, preferring: Set[str]) -> tuple[Edge, ...]:
    others = [e for e in pair.edges if e.node not in preferring]
    moving = [e for e in others if _moves(graph, e)]
    if any(_reaches(graph, e, preferring) for e in moving):
        others = [e for e in others if e not in moving]
    return tuple(others)


def _lost_its_cut(graph: Graph, pair: Pair, left: tuple[Edge, ...]) -> bool:
    """True for a pair in front of a cut that has lost the cut."""
    return any(edge not in left and _moves(graph, edge) for edge in pair.edges)


def _maker(graph: Graph, pair: Pair) -> str:
    """The product that makes the tensor of a pair, perhaps with a bias added; '' for none."""
    node = graph.producer(pair.tensor)
    if node is not None and node.op == "Add":
        node = next((n for t in node.inputs if (n := graph.producer(t)) is not None), None)
    return node.name if node is not None and is_product(graph, node) else ""


def _moves(graph: Graph, edge: Edge) -> bool:
    node = graph.by_name[edge.node]
    return edge.slot == 0 and traits(node).moves and bool(crossed(graph, node))


def _reaches(graph: Graph, edge: Edge, nodes: Set[str]) -> bool:
    """True where only ops that move values stand between a use of a tensor and one of the nodes."""
    if edge.node in nodes:
        return True
    if not _moves(graph, edge):
        return False
    outputs = filter(None, graph.by_name[edge.node].outputs)
    return any(_reaches(graph, e, nodes) for out in outputs for e in graph.consumers(out))
