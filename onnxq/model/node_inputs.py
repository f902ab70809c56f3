"""What the inputs of a node are in its graph: data, activations and weights, with their axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxq.model.graph import Graph, Node, attribute_value
from onnxq.model.ops import attribute_defaults, traits


def attribute(node: Node, name: str) -> Any:
    """Value of a node's attribute, or the default that ONNX gives it; None when it has neither."""
    if name in node.attributes:
        return node.attributes[name]
    default = attribute_defaults(node.op, node.domain).get(name)
    return None if default is None else attribute_value(default)


def repeats(graph: Graph, node: Node) -> int:
    """How often the output has each value of the data inputs; 0 where that is not known."""
    if traits(node).keeps:
        return 1
    if node.type != "Resize" or any(node.inputs[3:]):  # sizes, in place of scales
        return 0
    how = [
        attribute(node, f"{part}mode") for part in ("", "coordinate_transformation_", "nearest_")
    ]
    scales = node.inputs[2] if len(node.inputs) > 2 else ""
    if how != [b"nearest", b"asymmetric", b"floor"] or not graph.is_constant(scales):
        return 0
    factors = graph.array(scales)
    whole = np.all(factors >= 1) and np.all(factors == np.rint(factors))
    return int(factors.prod()) if whole else 0


def data_inputs(node: Node) -> tuple[tuple[int, str], ...]:
    """Slots and tensors of the inputs that carry data of any type."""
    data = traits(node).data
    slots = range(len(node.inputs)) if data is None else data
    return tuple((s, node.inputs[s]) for s in slots if s < len(node.inputs) and node.inputs[s])


def data_slots(graph: Graph, node: Node) -> tuple[int, ...]:
    """Input slots that hold data which could be quantized: float32, or of a type not known.

    None where a node is computed from constants alone, when the engine is built.
    """
    if all(graph.is_constant(out) for out in node.outputs if out):
        return ()
    data = traits(node).data
    slots = range(len(node.inputs)) if data is None else data
    return tuple(
        s for s in slots if s < len(node.inputs) and graph.type(node.inputs[s]).may_be_float
    )


def activation_slots(graph: Graph, node: Node) -> tuple[int, ...]:
    """Data slots that the model computes."""
    return tuple(s for s in data_slots(graph, node) if not graph.is_constant(node.inputs[s]))


def weight_slots(graph: Graph, node: Node) -> tuple[int, ...]:
    """Data slots that hold a constant."""
    return tuple(s for s in data_slots(graph, node) if graph.is_constant(node.inputs[s]))


def channel_axis(graph: Graph, node: Node, slot: int) -> int | None:
    """Output-channel axis of the weight in a slot; None where the table has none."""
    axis = traits(node).axes.get(slot)
    shape = graph.type(node.inputs[slot]).shape
    return None if axis is None or not shape else axis(node.attributes, len(shape))


def has_one_scale(graph: Graph, node: Node, slot: int) -> bool:
    """True for a constant operand that has no channel axis: one channel, or several such axes.

    False where its rank is not known.
    """
    is_ranked = graph.type(node.inputs[slot]).shape is not None
    return is_ranked and slot in traits(node).axes and channel_axis(graph, node, slot) is None


def block_axis(graph: Graph, node: Node, slot: int) -> int | None:
    """The axis of a weight that its op sums over, where blocks lie; None where there is none."""
    axis = traits(node).reduced.get(slot)
    shape = graph.type(node.inputs[slot]).shape
    return None if axis is None or not shape else axis(node.attributes, len(shape))


def crossed(graph: Graph, node: Node) -> tuple[str, ...]:
    """The inputs whose DequantizeLinear TensorRT moves forward across a node; () for none.

    A Pad with a value other than zero stops it: that value is not on the grid of the integers.
    """
    if not traits(node).crossed or (node.type == "Pad" and _pads_with_a_value(graph, node)):
        return ()
    return tuple(tensor for _, tensor in data_inputs(node))


def _pads_with_a_value(graph: Graph, node: Node) -> bool:
    value = node.inputs[2] if len(node.inputs) > 2 else ""
    if not value or attribute(node, "mode") != b"constant":
        return False
    return not graph.is_constant(value) or bool(np.any(graph.array(value)))


def may_be_observed(graph: Graph, tensor: str) -> bool:
    """True for float32 and float16; outside of bodies also where the type is not known.

    A tensor leaves the body of an If, Loop or Scan only under a type.
    """
    kind = graph.type(tensor)
    return kind.may_be_float and bool(kind.dtype or not graph.home(tensor))
