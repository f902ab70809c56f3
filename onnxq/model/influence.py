"""Ops that decide what an output holds: some sort its rows, some draw random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from onnxq.model.graph import Graph, Node, Shape
from onnxq.model.ops import ORDERING, PRODUCTS, RANDOM, SHAPES


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOrder:
    """The values of a tensor decide on the order of an output's rows, which stand along `axis`.

    `node` and `op` are the name and type of the last node that sorts or selects them.
    """

    node: str
    op: str
    axis: int


def row_orders(graph: Graph) -> dict[str, RowOrder]:
    """The outputs whose rows are sorted or selected by computed values, by name."""
    orders = {}
    for output in graph.outputs:
        sorts = (
            n for n in _influences(graph, output) if n.type in ORDERING and _computes(graph, n)
        )
        each = ((node, _row_axis(graph, node, output)) for node in sorts)
        last = next(((node, axis) for node, axis in each if axis is not None), None)
        if last is not None:
            node, axis = last
            orders[output] = RowOrder(node=node.name, op=node.op, axis=axis)
    return orders


def random_nodes(graph: Graph, output: str) -> tuple[Node, ...]:
    """The nodes that an output depends on and that draw random numbers."""
    return tuple(n for n in _influences(graph, output) if is_random(graph, n))


def is_random(graph: Graph, node: Node) -> bool:
    """True for a node that draws random numbers: a Dropout does in training mode only."""
    if node.type != "Dropout":
        return node.type in RANDOM
    mode = node.inputs[2] if len(node.inputs) > 2 else ""
    return bool(mode) and not (graph.is_constant(mode) and not graph.array(mode).any())


def _influences(graph: Graph, output: str) -> Iterator[Node]:
    """The nodes whose values an output depends on, the last ones first."""
    producer = graph.producer(output)
    ahead = [producer] if producer is not None else []
    reached: set[str] = set()
    while ahead:
        node = ahead.pop()
        if node.name not in reached and node.type not in SHAPES:
            reached.add(node.name)
            ahead += graph.predecessors[node.name]
    yield from (node for node in reversed(graph.nodes) if node.name in reached)


def _computes(graph: Graph, node: Node) -> bool:
    """True where what is sorted is computed by products, which quantization changes."""
    return any(n.type in PRODUCTS for name in node.inputs for n in _influences(graph, name))


def _row_axis(graph: Graph, node: Node, output: str) -> int | None:
    """The axis of an output that holds the rows of a sorting node; None where there is none."""
    shape = graph.type(output).shape
    if not shape:
        return None
    rows = _rows(graph, node)
    axes = range(1 if len(shape) > 1 else 0, len(shape))
    if rows is not None:
        return next((a for a in axes if shape[a] == rows and rows > 1), None)
    varying = [a for a in range(len(shape)) if not isinstance(shape[a], int)]
    if varying or node.type != "NonMaxSuppression":
        return varying[-1] if varying else None
    return axes[0] if shape[axes[0]] != 1 else None  # filled up to a fixed number of rows


def _rows(graph: Graph, node: Node) -> int | None:
    """How many rows a node gives, where that is known."""
    if node.type != "TopK":
        return None
    if len(node.inputs) > 1 and graph.is_constant(node.inputs[1]):
        return int(graph.array(node.inputs[1]).ravel()[0])
    shape: Shape = graph.type(node.outputs[0]).shape or ()
    size = shape[node.attributes.get("axis", -1)] if shape else None
    return size if isinstance(size, int) else None
