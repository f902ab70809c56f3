"""How the operands of weighted ops are quantized, and what keeps them from INT8."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from onnxq.graph import Node
from onnxq.lint.finding import Effect, Finding, finding
from onnxq.lint.qdq import QdqModel, axis_of, is_blocked
from onnxq.ops import traits


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What keeps a scale from being used in INT8, and the diagnostic code that it has in lint."""

    code: str
    text: str
    effect: Effect = Effect.FLOAT


def operands(model: QdqModel, node: Node) -> Iterator[tuple[int, str]]:
    """Slots and tensors of the data operands of a product; a bias is none."""
    data = traits(node).data
    for slot in range(len(node.inputs)) if data is None else data:
        if slot < len(node.inputs) and node.inputs[slot]:
            yield slot, node.inputs[slot]


def why_not_int8(model: QdqModel, node: Node) -> str:
    """Why TensorRT would run a weighted op in float, as far as its operands tell; else ''."""
    reasons = (_operand_fault(model, node, slot, t) for slot, t in operands(model, node))
    return next(filter(None, reasons), "")


def _operand_fault(model: QdqModel, node: Node, slot: int, tensor: str) -> str:
    found, bare = model.dequantizers(tensor)
    if bare:
        return no_pair(model, tensor, bare[0])
    if unequal_scales(model, found):
        return f"activation '{tensor}' joins tensors of unequal scales and has no pair of its own"
    if model.is_constant(tensor):
        faults = [weight_fault(model, node, slot)]
    else:
        faults = [activation_fault(model, pair_node) for pair_node in found]
    return next((f.text for f in faults if f), "")


def no_pair(model: QdqModel, tensor: str, bare: str) -> str:
    """Say that an operand has no pair, and what `bare` tensor behind it is the reason."""
    kind = "weight" if model.is_constant(tensor) else "activation"
    maker = model.graph.producer(bare)
    behind = f" (it comes from {maker.op} '{maker.name}')" if maker else ""
    return f"{kind} '{tensor}' has no Q/DQ pair{behind}"


def unequal_scales(model: QdqModel, nodes: tuple[Node, ...]) -> bool:
    """True when the nodes' scales are known to differ."""
    scales = [s for s in (model.scale(n) for n in nodes) if s is not None]
    return any(not np.array_equal(s.ravel(), scales[0].ravel(), equal_nan=True) for s in scales[1:])


def activation_fault(model: QdqModel, pair_node: Node) -> Fault | None:
    """What makes the scale of an activation unusable; None when nothing does or it is unknown."""
    shape = model.scale_shape(pair_node)
    if not shape or is_blocked(pair_node):
        return None
    activation = f"activation '{model.quantized_tensor(pair_node)}'"
    if all(size == 1 for size in shape):
        return Fault(code="OQ612", text=f"{activation} has a scale of shape {list(shape)}")
    return Fault(code="OQ614", text=f"{activation} is quantized per channel")


def weight_fault(model: QdqModel, node: Node, slot: int) -> Fault | None:
    """What makes the scale of a weight unusable; None when nothing does or it is unknown."""
    pair_node, right = model.weight_dequantizer(node, slot) or (None, None)
    if pair_node is None or right is None or is_blocked(pair_node):
        return None
    scales, sizes = model.scale_shape(pair_node), model.graph.type(pair_node.inputs[0]).shape
    if not sizes or right >= len(sizes) or scales is None or len(scales) != 1:
        return None
    weight, axis = f"weight '{model.quantized_tensor(pair_node)}'", axis_of(pair_node)
    if scales[0] == 1 != sizes[right]:
        return Fault(
            code="OQ612", text=f"{weight} has a scale of shape [1]", effect=Effect.REJECTED
        )
    if axis % len(sizes) != right:
        written = f"axis {axis}" if "axis" in pair_node.attributes else "no axis, which means 1"
        text = f"the scale of {weight} has {written}; it must be {right}"
    elif scales[0] != sizes[right]:
        text = f"{weight} has {sizes[right]} channels and {scales[0]} scales"
    else:
        return None
    return Fault(code="OQ613", text=text)


def granularity(model: QdqModel, code: str, *, fix: str) -> Iterator[Finding]:
    """Findings of one code about the number of scales and their axis."""
    told: set[str] = set()
    for node, scale, fault in (*_activation_faults(model), *_weight_faults(model)):
        if fault is not None and fault.code == code and scale not in told:
            told.add(scale)
            text = f"{node.op} '{node.name}': {fault.text}"
            yield finding(code, fault.effect, text, fix=fix, node=node.name)


def _activation_faults(model: QdqModel) -> Iterator[tuple[Node, str, Fault | None]]:
    for node in model.pair_nodes:
        if not model.is_constant(node.inputs[0]):
            yield node, node.inputs[1], activation_fault(model, node)


def _weight_faults(model: QdqModel) -> Iterator[tuple[Node, str, Fault | None]]:
    for node in model.weighted_nodes:
        for slot, tensor in operands(model, node):
            if model.is_constant(tensor):
                yield node, tensor, weight_fault(model, node, slot)
