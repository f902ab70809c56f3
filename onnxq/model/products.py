"""Products of a model, and their multiply-accumulates from shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Final

from onnxq.model.compiler_ops import support
from onnxq.model.einsum import equation_of
from onnxq.model.graph import Graph, Node
from onnxq.model.ops import PRODUCTS, is_integer_op, traits

Sizes = tuple[int, ...]
SizesOf = Callable[[str], Sizes | None]  # the sizes of a tensor; None when they are not known


def is_product(graph: Graph, node: Node) -> bool:
    """True for an op that multiplies matrices or filters when the model runs.

    Those of constants alone are computed when an engine is built.
    """
    if node.type == "Einsum":
        multiplies = equation_of(node.attributes).multiplies
    else:
        multiplies = node.type in PRODUCTS or node.type in _OF_INTEGERS
    return multiplies and any(out and not graph.is_constant(out) for out in node.outputs)


def is_weighted(graph: Graph, node: Node) -> bool:
    """True for a product that TensorRT may compute in INT8."""
    return traits(node).weighted and is_product(graph, node)


def kept_float(node: Node) -> str:
    """Why TensorRT computes a product in float, whatever the Q/DQ; '' where it does not."""
    if traits(node).weighted:
        return f"TensorRT-RTX keeps {node.op} in float" if traits(node).kept_float else ""
    if node.type == "Einsum":
        return f"TensorRT computes the Einsum in float: {equation_of(node.attributes).obstacle}"
    is_foreign = node.domain and support(node.op, node.domain) != "imported"
    if is_foreign or is_integer_op(node.type):
        return f"TensorRT has no {node.op}"
    return f"TensorRT has no INT8 form of {node.op}"


def runs_once(graph: Graph, node: Node) -> bool:
    """False in the body of a Loop or Scan, whose iterations are not known; True in a branch."""
    return all(outer.op == "If" for outer in graph.around(node))


def macs(sizes: SizesOf, node: Node) -> int | None:
    """Multiply-accumulates of a product; None when not known.

    A bias is not counted, nor is what padding or a sequence that ends early saves.
    """
    count = _MACS.get(node.type)
    return None if count is None else count(node, sizes)


def _sizes_of_inputs(node: Node, sizes: SizesOf, *slots: int) -> list[Sizes] | None:
    """The sizes of several inputs; None unless all are known."""
    tensors = [node.inputs[s] if s < len(node.inputs) else "" for s in slots]
    of_each = [sizes(t) if t else None for t in tensors]
    return [s for s in of_each if s is not None] if None not in of_each else None


def _convolution(weight: int) -> Callable[[Node, SizesOf], int | None]:
    def count(node: Node, sizes: SizesOf) -> int | None:
        result, filters = sizes(node.outputs[0]), _sizes_of_inputs(node, sizes, weight)
        return None if result is None or filters is None else prod(result) * prod(filters[0][1:])

    return count


def _transposed(node: Node, sizes: SizesOf) -> int | None:
    operands = _sizes_of_inputs(node, sizes, 0, 1)
    return None if operands is None else prod(operands[0]) * prod(operands[1][1:])


def _matrices(node: Node, sizes: SizesOf) -> int | None:
    result, operands = sizes(node.outputs[0]), _sizes_of_inputs(node, sizes, 0)
    if result is None or operands is None or not operands[0]:
        return None
    return prod(result) * operands[0][0 if node.attributes.get("transA") else -1]


def _fused_matrices(node: Node, sizes: SizesOf) -> int | None:
    result, operands = sizes(node.outputs[0]), _sizes_of_inputs(node, sizes, 0)
    if result is None or operands is None or len(operands[0]) < 2:
        return None
    return prod(result) * operands[0][-2 if node.attributes.get("transA") else -1]


def _einsum(node: Node, sizes: SizesOf) -> int | None:
    operands = _sizes_of_inputs(node, sizes, *range(len(node.inputs)))
    return None if operands is None else equation_of(node.attributes).macs(*operands)


def _recurrent(node: Node, sizes: SizesOf) -> int | None:
    """Every step of every sequence multiplies by all weights, of all gates and directions."""
    operands = _sizes_of_inputs(node, sizes, 0, 1, 2)
    if operands is None or not operands[0]:
        return None
    return prod(operands[0][:-1]) * (prod(operands[1]) + prod(operands[2]))


def _attention(node: Node, sizes: SizesOf) -> int | None:
    """Every query meets every key and value, the past ones too; 3-D inputs hold all heads."""
    result, operands = sizes(node.outputs[0]), _sizes_of_inputs(node, sizes, 0, 1)
    past = _sizes_of_inputs(node, sizes, 4) if len(node.inputs) > 4 and node.inputs[4] else []
    if result is None or operands is None or past is None or len(operands[1]) < 2:
        return None
    keys = operands[1][-2] + sum(p[-2] for p in past if len(p) > 1)
    return keys * (prod(operands[0]) + prod(result))


_MACS: Final[Mapping[str, Callable[[Node, SizesOf], int | None]]] = {
    "Attention": _attention,
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "ConvTranspose": _transposed,
    "DeformConv": _convolution(1),
    "Einsum": _einsum,
    "GRU": _recurrent,
    "Gemm": _matrices,
    "LSTM": _recurrent,
    "MatMul": _matrices,
    "MatMulInteger": _matrices,
    "QLinearConv": _convolution(3),
    "QLinearMatMul": _matrices,
    "RNN": _recurrent,
    "com.microsoft::FusedConv": _convolution(1),
    "com.microsoft::FusedGemm": _matrices,
    "com.microsoft::FusedMatMul": _fused_matrices,
    "com.microsoft::TransposeMatMul": _fused_matrices,
}
_OF_INTEGERS: Final = frozenset(op for op in _MACS if is_integer_op(op))
