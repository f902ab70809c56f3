"""Products of a model, and their multiply-accumulates from shapes."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from onnxq.model.graph import Graph, Node
from onnxq.model.ops import PRODUCTS, traits


def is_product(node: Node) -> bool:
    """True for a weighted op, and for an Einsum of two operands that sums over a common label."""
    if node.type not in PRODUCTS or traits(node).weighted:
        return traits(node).weighted
    labels = _labels(node)
    return labels is not None and bool((set(labels[0]) & set(labels[1])) - set(labels[2]))


def runs_once(graph: Graph, node: Node) -> bool:
    """False in the body of a Loop or Scan, whose iterations are not known; True in a branch."""
    return all(outer.op == "If" for outer in graph.around(node))


def macs(sizes: Callable[[str], tuple[int, ...] | None], node: Node) -> int | None:
    """Multiply-accumulates of a Conv, ConvTranspose, Gemm, MatMul or Einsum; None when not known.

    `sizes` gives the sizes of a tensor. A bias is not counted, nor is what padding saves.
    """
    if len(node.inputs) < 2:
        return None
    first, second, result = (sizes(t) for t in (*node.inputs[:2], node.outputs[0]))
    if node.op == "Conv" and result and second:
        return prod(result) * prod(second[1:])
    if node.op == "ConvTranspose" and first and second:
        return prod(first) * prod(second[1:])
    if node.op in ("Gemm", "MatMul") and first and result is not None:
        return prod(result) * first[0 if node.attributes.get("transA") else -1]
    if node.op == "Einsum" and first and second:
        return _einsum_macs(node, first, second)
    return None


def _einsum_macs(node: Node, *operands: tuple[int, ...]) -> int | None:
    labels = _labels(node)
    if labels is None or [len(x) for x in labels[:2]] != [len(x) for x in operands]:
        return None
    extents: dict[str, int] = {}
    for names, sizes in zip(labels, operands, strict=False):
        for name, size in zip(names, sizes, strict=True):
            extents[name] = max(size, extents.get(name, 0))  # a size of 1 is broadcast
    return prod(extents.values())


def _labels(node: Node) -> tuple[str, str, str] | None:
    """The labels of an Einsum's two operands and of its result; None for any other form."""
    equation = node.attributes.get("equation", b"")
    text = (equation.decode() if isinstance(equation, bytes) else str(equation)).replace(" ", "")
    operands, arrow, result = text.partition("->")
    first, comma, second = operands.partition(",")
    if not arrow or not comma or "," in second or "." in text:
        return None  # an implicit result, or an ellipsis
    return first, second, result
