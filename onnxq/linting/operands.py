"""How the operands of weighted ops are quantized, and why such an op is not computed in INT8."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Final

import numpy as np
from onnx import TensorProto

from onnxq.linting.finding import Effect
from onnxq.linting.granularity import Fault, activation_fault, weight_fault
from onnxq.linting.qdq import QdqModel, axis_of, is_blocked
from onnxq.model.graph import Node
from onnxq.model.node_inputs import data_inputs
from onnxq.model.ops import traits
from onnxq.model.pairs import is_pair_node

# The types that TensorRT has, and as which it reads them.
READ_AS: Final[dict[int, int]] = {
    TensorProto.INT8: TensorProto.INT8,
    TensorProto.UINT8: TensorProto.INT8,
    TensorProto.INT4: TensorProto.INT4,
    TensorProto.FLOAT8E4M3FN: TensorProto.FLOAT8E4M3FN,
    TensorProto.FLOAT4E2M1: TensorProto.FLOAT4E2M1,
}
_MOST_FP8_TAPS: Final = 32
_CONVERTED: Final = {TensorProto.INT8, TensorProto.INT4}
# In the quantized type all the same.
_COMPUTED: Final = (Effect.COST, Effect.DIFFERENT, Effect.INVALID)


def bare_operands(model: QdqModel, node: Node) -> Iterator[tuple[str, str]]:
    """Operands of a weighted op without a pair, each with the tensor that it comes from."""
    for _, tensor in data_inputs(node):
        _, bare = model.dequantizers(tensor)
        if bare:
            yield tensor, bare[0]


def stranding(model: QdqModel, bare: str) -> Node | None:
    """The op that stops the pair in front of it on the way to its readers; None without one."""
    node = model.graph.producer(bare)
    if node is None or traits(node).weighted or is_pair_node(node) or not node.inputs:
        return None
    if model.is_constant(node.inputs[0]):  # of a table the Gather reads rows
        return None
    dequantizers, missing = model.dequantizers(node.inputs[0])
    return node if dequantizers and not missing and not model.is_constant(bare) else None


def operand_types(model: QdqModel, node: Node) -> dict[str, int]:
    """The type that every operand of a weighted op is quantized to, as TensorRT reads it.

    0 stands for float, and for types that TensorRT does not have.
    """
    types: dict[str, int] = {}
    for _, tensor in data_inputs(node):
        dequantizers, _ = model.dequantizers(tensor)
        dtype = model.quantized_type(dequantizers[0]) if dequantizers else 0
        types[tensor] = READ_AS.get(dtype, 0)
    return types


def mixed_types(model: QdqModel, node: Node) -> Effect | None:
    """The effect of operands quantized to different types; None for one type or a float operand.

    Seen in TensorRT-RTX 1.7: a matrix product converts INT4 to int8 where one side is a constant;
    a ConvTranspose computes in float anyway.
    """
    types = operand_types(model, node)
    kinds = set(types.values())
    if len(kinds) < 2 or 0 in kinds:
        return None
    if traits(node).kept_float:
        rejected = kinds == {TensorProto.FLOAT8E4M3FN, TensorProto.INT4}
        return Effect.REJECTED if rejected else Effect.FLOAT
    converts = traits(node).reduced and any(map(model.is_constant, types))
    return Effect.COST if converts and kinds == _CONVERTED else Effect.REJECTED


def block_fault(model: QdqModel, node: Node, slot: int) -> Fault | None:
    """The fault of a weight in blocks; None where there is no fault, or are no blocks.

    Seen in TensorRT-RTX 1.7: beside a quantized activation it sums over all blocks, and then
    multiplies with the scales of the first block.
    """
    pair_node, right = model.weight_dequantizer(node, slot) or (None, None)
    if pair_node is None or right is None or not is_blocked(pair_node):
        return None
    weight = f"weight '{model.quantized_tensor(pair_node)}'"
    rank, axis = model.rank(pair_node.inputs[0]), axis_of(pair_node)
    if rank is not None and axis % rank < rank - 2:
        return _block_fault(pair_node, Effect.REJECTED, f"{weight} has blocks on axis {axis}")
    types = operand_types(model, node)
    products = traits(node).reduced
    if all(types.values()):
        if not products:
            return _block_fault(pair_node, Effect.FLOAT, f"{weight} has a scale for each block")
        shape = model.scale_shape(pair_node) or ()
        if any(size != 1 for index, size in enumerate(shape) if index != right):
            effect = Effect.REJECTED if node.attributes.get("transB") else Effect.DIFFERENT
            return _block_fault(pair_node, effect, f"{weight} has blocks, its activation a pair")
    elif products and slot not in products and types[node.inputs[slot]] == TensorProto.INT4:
        text = f"{weight} has INT4 blocks on the left of the product"
        return _block_fault(pair_node, Effect.CRASHES, text)
    return None


def _block_fault(pair_node: Node, effect: Effect, text: str) -> Fault:
    return Fault(code="OQ641", text=text, pair_node=pair_node.name, effect=effect)


def is_weight_only(model: QdqModel, node: Node) -> bool:
    """True for float activations on weights in INT4 or in blocks: made to save memory."""
    traced = [model.dequantizers(tensor)[0] for _, tensor in data_inputs(node)]
    paired = [dequantizers[0] for dequantizers in traced if dequantizers]
    return (
        len(paired) == 1 < len(traced)
        and model.is_constant(paired[0].inputs[0])
        and (is_blocked(paired[0]) or model.quantized_type(paired[0]) == TensorProto.INT4)
    )


def why_not_int8(model: QdqModel, node: Node) -> str:
    """Why TensorRT would run a weighted op in float, as far as its operands tell; else ''."""
    reasons = (_operand_fault(model, node, slot, t) for slot, t in data_inputs(node))
    return next(filter(None, reasons), "")


def _operand_fault(model: QdqModel, node: Node, slot: int, tensor: str) -> str:
    dequantizers, bare = model.dequantizers(tensor)
    if bare:
        return _bare_fault(model, tensor, bare[0])
    if unequal_scales(model, dequantizers):
        return f"activation '{tensor}' joins tensors of unequal scales and has no pair of its own"
    int4 = any(model.quantized_type(n) == TensorProto.INT4 for n in dequantizers)
    if int4 and mixed_types(model, node) is not Effect.COST:
        return f"'{tensor}' is quantized to int4, which is dequantized before the product"
    if model.is_constant(tensor):
        faults = [weight_fault(model, node, slot), block_fault(model, node, slot)]
    else:
        faults = [activation_fault(model, pair_node) for pair_node in dequantizers]
        outside = (_branch_fault(model, node, n) for n in dequantizers)
        if text := next(filter(None, outside), ""):
            return f"activation '{tensor}' {text}"
    return next((f.text for f in faults if f and f.effect not in _COMPUTED), "")


def _branch_fault(model: QdqModel, node: Node, dequantize: Node) -> str:
    """Why the pair of an activation does not reach an op in a branch; '' where it does.

    TensorRT-RTX 1.7 runs the op in float when the DequantizeLinear stands outside of the branch.
    It also does when the pair stands inside and an equal pair of the tensor outside: it merges the
    two pairs.
    """
    around = model.graph.around(node)
    depth = max((d for d, n in enumerate(around, 1) if n.op == "If"), default=0)
    quantize = model.quantizer(dequantize)
    if not depth or quantize is None:
        return ""
    branch = f"If '{around[depth - 1].name}'"
    if len(dequantize.scope) < depth:
        return f"has its pair outside of {branch}"
    if len(quantize.scope) < depth:
        return ""
    alike = (n for q in model.quantizers(quantize.inputs[0]) for n in model.readers(q.outputs[0]))
    outside = [n for n in alike if is_pair_node(n) and len(n.scope) < depth]
    if any(not unequal_scales(model, (dequantize, n)) for n in outside):
        return f"has an equal pair outside of {branch}, with which TensorRT merges its own"
    return ""


def _bare_fault(model: QdqModel, tensor: str, bare: str) -> str:
    blocker = stranding(model, bare)
    if blocker is None:
        return no_pair(model, tensor, bare)
    return f"activation '{tensor}' has a pair only in front of {blocker.op} '{blocker.name}'"


def no_pair(model: QdqModel, tensor: str, bare: str) -> str:
    """Say that an operand has no pair, and which op makes the `bare` tensor that it comes from."""
    kind = "weight" if model.is_constant(tensor) else "activation"
    maker = model.graph.producer(bare)
    behind = f" (it comes from {maker.op} '{maker.name}')" if maker else ""
    return f"{kind} '{tensor}' has no Q/DQ pair{behind}"


def unequal_scales(model: QdqModel, nodes: tuple[Node, ...]) -> bool:
    """True when the nodes' scales are known to differ."""
    scales = [s for s in (model.scale(n) for n in nodes) if s is not None]
    return any(not np.array_equal(s.ravel(), scales[0].ravel(), equal_nan=True) for s in scales[1:])


def wide_filter(model: QdqModel, node: Node) -> int:
    """The taps of an FP8 filter with which TensorRT-RTX 1.7 computes in float; 0 for any other.

    It has FP8 kernels for up to 32 taps, of one, two or three dimensions.
    """
    if node.type != "Conv" or set(operand_types(model, node).values()) != {
        TensorProto.FLOAT8E4M3FN
    }:
        return 0
    taps = (model.graph.type(node.inputs[1]).shape or ())[2:]
    count = prod(size for size in taps if isinstance(size, int))
    return count if count > _MOST_FP8_TAPS else 0
