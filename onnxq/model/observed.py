"""Which activations a calibration observes when no recipe narrows them."""

from __future__ import annotations

from collections.abc import Iterator

from onnxq.model.cuts import cut_behind
from onnxq.model.graph import Graph, Node
from onnxq.model.node_inputs import activation_slots, may_be_observed
from onnxq.model.ops import traits


def observable(graph: Graph) -> tuple[str, ...]:
    """Activations that a recipe could quantize, in graph order."""
    tensors = (t for node in graph.nodes for t in _of(graph, node) if may_be_observed(graph, t))
    return tuple(dict.fromkeys(tensors))


def _of(graph: Graph, node: Node) -> Iterator[str]:
    if traits(node).observed:
        yield from (node.inputs[slot] for slot in _joined(graph, node))
    if cut_behind(graph, node) is not None:
        yield node.outputs[0]


def _joined(graph: Graph, node: Node) -> tuple[int, ...]:
    """The activation slots; none where a constant is added: quantizing that brings no speed."""
    slots = activation_slots(graph, node)
    return () if traits(node).commutative and len(slots) < 2 else slots
