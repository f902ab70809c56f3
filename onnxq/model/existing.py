"""Pairs that a model has already: facts of the graph, which rules do not change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq.formats import FORMATS, DType, format_of
from onnxq.model.graph import Edge, Graph, Node
from onnxq.model.node_inputs import crossed
from onnxq.model.ops import traits
from onnxq.model.pairs import DEQUANTIZE, QUANTIZE, is_pair_node


def is_decided(graph: Graph, edge: Edge) -> bool:
    """True for inputs of Q/DQ nodes, and for edges of a tensor that a pair has rounded already."""
    return is_pair_node(graph.by_name[edge.node]) or is_quantized(graph, graph.tensor(edge))


def is_quantized(graph: Graph, tensor: str) -> bool:
    """True for the result of a DequantizeLinear, also behind ops that TensorRT moves it across."""
    return _dequantize_before(graph, tensor) is not None


def dtype_at(graph: Graph, tensor: str) -> DType | None:
    """The type of the pair behind which a tensor stands; None for no pair, or for another type."""
    dequantize = _dequantize_before(graph, tensor)
    return None if dequantize is None else format_of(graph.type(dequantize.inputs[0]).dtype)


def pair_on(graph: Graph, tensor: str, dtype: DType) -> str | None:
    """The result of the first pair on a float tensor that other readers can share.

    Such a pair has one scale and a zero point of 0 of this type, as TensorRT needs for activations.
    """
    for edge in graph.consumers(tensor):
        quantize = graph.by_name[edge.node]
        if not (is_pair_node(quantize, QUANTIZE) and edge.slot == 0):
            continue
        if _is_plain(graph, quantize, dtype):
            for reader in graph.consumers(quantize.outputs[0]):
                node = graph.by_name[reader.node]
                same = node.inputs[1:] == quantize.inputs[1:] or _is_plain(graph, node, dtype)
                if is_pair_node(node, DEQUANTIZE) and same:
                    return node.outputs[0]
    return None


def scale_at(graph: Graph, tensor: str, dtype: DType) -> NDArray[np.float32] | None:
    """The scale (a scalar) of the pair of a type that a tensor has or comes from, or None."""
    dequantize = _dequantize_before(graph, tensor)
    if dequantize is None and (shared := pair_on(graph, tensor, dtype)) is not None:
        dequantize = graph.producer(shared)
    if dequantize is None or not _is_plain(graph, dequantize, dtype):
        return None
    return np.asarray(graph.array(dequantize.inputs[1]), np.float32).reshape(())


def _dequantize_before(graph: Graph, tensor: str) -> Node | None:
    node = graph.producer(tensor)
    while node is not None and traits(node).moves and crossed(graph, node):
        node = graph.producer(node.inputs[0])
    return node if node is not None and is_pair_node(node, DEQUANTIZE) else None


def _is_plain(graph: Graph, node: Node, dtype: DType) -> bool:
    """True for one constant scale and a constant zero point of 0 of this type."""
    constant = len(node.inputs) > 2 and all(graph.is_constant(t) for t in node.inputs[1:])
    if not constant:
        return False
    scale, zero = (graph.array(t) for t in node.inputs[1:3])
    return scale.size == 1 and zero.dtype == FORMATS[dtype].dtype and not zero.any()
