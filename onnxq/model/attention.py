"""Attention as small ops: a product of queries and keys, a Softmax, a product with values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from onnxq.model.graph import Edge, Graph, Node
from onnxq.model.products import is_weighted

# What stands between the scores and the Softmax: scales, masks, casts, limits, and other shapes.
_BEFORE: Final = frozenset(
    {"Add", "Cast", "Clip", "Div", "Expand", "Identity", "Max", "Min", "Mul", "Reshape", "Squeeze"}
    | {"Sub", "Sum", "Tanh", "Transpose", "Unsqueeze", "Where"}
)
_BEHIND: Final = frozenset(
    {"Cast", "Dropout", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze", "Where"}
)
_PRODUCTS: Final = frozenset({"Einsum", "MatMul"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """One attention: its two products, the number of keys, and the size of a head.

    A number that is not known is None.
    """

    scores: Node
    mixed: Node
    keys: int | None
    size: int | None


def attentions(graph: Graph) -> Iterator[Attention]:
    """Every attention of a model, in graph order."""
    for softmax in graph.nodes_of(frozenset({"Softmax"})):
        mixed = _mixed(graph, softmax.outputs[0])
        scores = _scores(graph, softmax.inputs[0])
        if mixed is None or scores is None:
            continue
        yield Attention(
            scores=scores,
            mixed=mixed,
            keys=_size(graph, softmax.inputs[0], int(softmax.attributes.get("axis", -1))),
            size=_size(graph, scores.inputs[0], -1) if scores.type == "MatMul" else None,
        )


def _joins_activations(graph: Graph, node: Node) -> bool:
    weighted = node.type in _PRODUCTS and is_weighted(graph, node)
    return weighted and not any(graph.is_constant(t) for t in node.inputs)


def _mixed(graph: Graph, tensor: str) -> Node | None:
    """The product of two activations that reads a tensor, also behind ops that pass it on."""
    for edge in graph.consumers(tensor):
        node = graph.by_name[edge.node]
        if _joins_activations(graph, node):
            return node
        if node.type in _BEHIND and _passes_on(edge, node):
            product = _mixed(graph, node.outputs[0])
            if product is not None:
                return product
    return None


def _passes_on(edge: Edge, node: Node) -> bool:
    return edge.slot > 0 if node.type == "Where" else edge.slot == 0


def _scores(graph: Graph, tensor: str) -> Node | None:
    """The nearest product of two activations that a tensor is made of by small ops."""
    return next((m for m in _made_of(graph, tensor) if _joins_activations(graph, m)), None)


def _made_of(graph: Graph, tensor: str) -> Iterator[Node]:
    """The small ops that make a tensor, and what is in front of them, the nearest first."""
    level, seen = [tensor], {tensor}
    while level:
        makers = [m for t in level if (m := graph.producer(t)) is not None]
        yield from makers
        inputs = (t for m in makers if m.type in _BEFORE for t in m.inputs if t)
        level = [t for t in dict.fromkeys(inputs) if t not in seen]
        seen.update(level)


def _size(graph: Graph, tensor: str, axis: int) -> int | None:
    shape = graph.type(tensor).shape
    if shape is None or not -len(shape) <= axis < len(shape):
        return None
    size = shape[axis]
    return size if isinstance(size, int) else None
