"""Multiply-accumulates of weighted ops, from shapes."""

from __future__ import annotations

from math import prod

from onnxq.graph import Graph, Node


def macs(graph: Graph, node: Node) -> int | None:
    """Multiply-accumulates of a Conv, ConvTranspose, Gemm or MatMul; None when shapes are unknown.

    A bias is not counted, nor is what padding saves.
    """
    if len(node.inputs) < 2:
        return None
    first, second = (_sizes(graph, tensor) for tensor in node.inputs[:2])
    result = _sizes(graph, node.outputs[0])
    if node.op == "Conv" and result and second:
        return prod(result) * prod(second[1:])
    if node.op == "ConvTranspose" and first and second:
        return prod(first) * prod(second[1:])
    if node.op in ("Gemm", "MatMul") and first and result is not None:
        return prod(result) * first[0 if node.attributes.get("transA") else -1]
    return None


def _sizes(graph: Graph, tensor: str) -> tuple[int, ...] | None:
    sizes = graph.type(tensor).shape
    known = None if sizes is None else tuple(s for s in sizes if isinstance(s, int))
    return known if known is not None and len(known) == len(sizes or ()) else None
