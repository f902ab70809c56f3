"""Pairs that a model has already: facts of the graph, which rules do not change."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

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
    """The result of the first pair on a float tensor that other readers share.

    Such a pair has one constant scale and this type. Any integers of 8 bits are int8 here: a second
    pair would store the tensor twice, and what repairs uint8 or a zero point repairs it for all.
    """
    for edge in graph.consumers(tensor):
        quantize = graph.by_name[edge.node]
        if not (is_pair_node(quantize, QUANTIZE) and edge.slot == 0):
            continue
        if _has_one_scale(graph, quantize) and _stored_as(graph, quantize) == dtype:
            for reader in graph.consumers(quantize.outputs[0]):
                node = graph.by_name[reader.node]
                if is_pair_node(node, DEQUANTIZE) and _undoes(graph, node, quantize):
                    return node.outputs[0]
    return None


def scale_of(graph: Graph, dequantized: str) -> NDArray[np.float32]:
    """The scale (a scalar) of the pair that gives a tensor, as `pair_on` names it."""
    dequantize = graph.producer(dequantized)
    assert dequantize is not None
    return np.asarray(graph.array(dequantize.inputs[1]), np.float32).reshape(())


def zero_point_of(graph: Graph, dequantized: str) -> NDArray[Any]:
    """The zero point (a scalar, in its type) of the pair that gives a tensor, as `scale_of`."""
    dequantize = graph.producer(dequantized)
    quantize = None if dequantize is None else graph.producer(dequantize.inputs[0])
    assert quantize is not None
    if len(quantize.inputs) > 2 and quantize.inputs[2]:
        return graph.array(quantize.inputs[2]).reshape(())
    dtype = graph.type(quantize.outputs[0]).dtype
    return np.zeros((), helper.tensor_dtype_to_np_dtype(dtype))


def scale_at(graph: Graph, tensor: str, dtype: DType) -> NDArray[np.float32] | None:
    """The scale (a scalar) of the pair of a type that a tensor has or comes from, or None."""
    dequantize = _dequantize_before(graph, tensor)
    if dequantize is None and (shared := pair_on(graph, tensor, dtype)) is not None:
        dequantize = graph.producer(shared)
    if dequantize is None or not _is_plain(graph, dequantize, dtype):
        return None
    return scale_of(graph, dequantize.outputs[0])


def _dequantize_before(graph: Graph, tensor: str) -> Node | None:
    node = graph.producer(tensor)
    while node is not None and traits(node).moves and crossed(graph, node):
        node = graph.producer(node.inputs[0])
    return node if node is not None and is_pair_node(node, DEQUANTIZE) else None


def _has_one_scale(graph: Graph, node: Node) -> bool:
    """True for one constant scale, and a constant zero point if any."""
    return (
        all(graph.is_constant(t) for t in node.inputs[1:] if t)
        and graph.array(node.inputs[1]).size == 1
    )


def _stored_as(graph: Graph, quantize: Node) -> DType | None:
    """The type that a QuantizeLinear makes; int8 for uint8 too, which TensorRT takes for it."""
    proto = graph.type(quantize.outputs[0]).dtype
    return "int8" if proto == TensorProto.UINT8 else format_of(proto)


def _undoes(graph: Graph, dequantize: Node, quantize: Node) -> bool:
    """True for the scale and the zero point of the QuantizeLinear."""
    return dequantize.inputs[1:] == quantize.inputs[1:] or (
        _has_one_scale(graph, dequantize)
        and all(_number(graph, dequantize, i) == _number(graph, quantize, i) for i in (1, 2))
    )


def _number(graph: Graph, node: Node, slot: int) -> float:
    """The one scale or zero point of a node; 0 where it has none."""
    tensor = node.inputs[slot] if len(node.inputs) > slot else ""
    return graph.array(tensor).item() if tensor else 0


def _is_plain(graph: Graph, node: Node, dtype: DType) -> bool:
    """True for one constant scale, this type, and a zero point of 0, as TensorRT needs it."""
    if not _has_one_scale(graph, node):
        return False
    stored = node.inputs[0] if node.op == DEQUANTIZE else node.outputs[0]
    return graph.type(stored).dtype == FORMATS[dtype].proto and _number(graph, node, 2) == 0
