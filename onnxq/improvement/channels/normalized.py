"""Outputs of layer normalization, as one op and as a chain of small ops."""

from __future__ import annotations

from onnxq.model.graph import Graph, Node


def is_normalized(graph: Graph, tensor: str) -> bool:
    """True for what a LayerNormalization makes, or Add(Mul(Div(..), scale), bias) in its place.

    Both of its constants have one dimension: that of the channels, the last.
    """
    node = graph.producer(tensor)
    if node is None or node.type == "LayerNormalization":
        return node is not None
    scaled = _behind_constant(graph, node, "Add")
    divided = None if scaled is None else _behind_constant(graph, scaled, "Mul")
    return divided is not None and divided.type == "Div"


def _behind_constant(graph: Graph, node: Node, op: str) -> Node | None:
    """What makes the other input of an op one of whose inputs is a constant vector."""
    if node.type != op:
        return None
    vectors = [i for i in node.inputs if graph.is_constant(i) and _rank(graph, i) == 1]
    others = [i for i in node.inputs if i not in vectors]
    return graph.producer(others[0]) if len(vectors) == len(others) == 1 else None


def _rank(graph: Graph, tensor: str) -> int:
    return len(graph.type(tensor).shape or ())
