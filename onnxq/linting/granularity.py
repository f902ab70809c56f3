"""Scales and their axis: what TensorRT cannot use, for activations, weights and other constants."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel, axis_of, block_size, is_blocked
from onnxq.model.graph import Node
from onnxq.model.node_inputs import data_inputs, has_one_scale
from onnxq.model.pairs import DEQUANTIZE
from onnxq.model.scale_shapes import is_valid

_Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why TensorRT does not use a scale in INT8, with the code that lint has for it.

    `axis` is the right one, of a weight. `fix` is what to do where the code alone does not say it.
    """

    code: str
    text: str
    pair_node: str
    effect: Effect = Effect.FLOAT
    axis: int | None = None
    fix: str = ""


def activation_fault(model: QdqModel, pair_node: Node) -> Fault | None:
    """Why TensorRT cannot use the scale of an activation; None where it can or lint cannot tell."""
    shape = model.scale_shape(pair_node)
    if not shape or is_blocked(pair_node):
        return None
    activation = f"activation '{model.quantized_tensor(pair_node)}'"
    effect = Effect.REJECTED if len(shape) > 1 else Effect.FLOAT
    if all(size == 1 for size in shape):
        text = f"{activation} has a scale of shape {list(shape)}"
        return Fault(code="OQ612", text=text, pair_node=pair_node.name, effect=effect)
    text = f"{activation} is quantized per channel"
    return Fault(code="OQ614", text=text, pair_node=pair_node.name, effect=effect)


def weight_fault(model: QdqModel, node: Node, slot: int) -> Fault | None:
    """Why TensorRT cannot use the scale of a weight; None where it can or lint cannot tell."""
    pair_node, right = model.weight_dequantizer(node, slot) or (None, None)
    shapes = None if pair_node is None else _shapes(model, pair_node)
    if pair_node is not None and right is None and not is_blocked(pair_node):
        return _one_scale_fault(model, node, slot, pair_node)
    if pair_node is None or right is None or shapes is None or right >= len(shapes[1]):
        return None
    scales, sizes = shapes
    if len(scales) > 1 or is_blocked(pair_node):
        return shape_fault(model, pair_node, axis=right)
    weight, axis = f"weight '{model.quantized_tensor(pair_node)}'", axis_of(pair_node)
    if scales[0] == 1 != sizes[right]:
        text = f"{weight} has a scale of shape [1]"
        return Fault(code="OQ612", text=text, pair_node=pair_node.name, effect=Effect.COST)
    fits = -len(sizes) <= axis < len(sizes) and scales[0] == sizes[axis]
    effect = Effect.FLOAT if fits else Effect.REJECTED
    if axis % len(sizes) != right:
        written = f"axis {axis}" if "axis" in pair_node.attributes else "no axis, which means 1"
        text = f"the scale of {weight} has {written}; it must be {right}"
    elif not fits:
        text = f"{weight} has {sizes[right]} channels and {scales[0]} scales"
    else:
        return None
    return Fault(code="OQ613", text=text, pair_node=pair_node.name, effect=effect, axis=right)


def _one_scale_fault(model: QdqModel, node: Node, slot: int, pair_node: Node) -> Fault | None:
    """The fault of a vector with a scale for each value, or of channels on several axes."""
    shape = model.scale_shape(pair_node)
    if not shape or not has_one_scale(model.graph, node, slot):
        return None
    text = (
        f"weight '{model.quantized_tensor(pair_node)}' has {shape[0]} scales; {node.op} needs one "
        "scale for all of it"
    )
    return Fault(code="OQ613", text=text, pair_node=pair_node.name)


def shape_fault(model: QdqModel, pair_node: Node, *, axis: int | None = None) -> Fault | None:
    """Why the scales of a constant do not fit its shape; `axis` is the right one, of a weight."""
    shapes = _shapes(model, pair_node)
    if shapes is None:
        return None
    (scales, sizes), size = shapes, block_size(pair_node)
    effect = misfit(scales, sizes, axis_of(pair_node), size)
    if effect is None:
        return None
    constant = f"constant '{model.quantized_tensor(pair_node)}'"
    if math.prod(scales) == 1 and not size:
        text = f"{constant} has a scale of shape {list(scales)}"
        return Fault(code="OQ612", text=text, pair_node=pair_node.name, effect=effect, axis=axis)
    along = f"on axis {axis_of(pair_node)}" if len(scales) == 1 else "and no block_size"
    of = f"for blocks of {size} on axis {axis_of(pair_node)}" if size else along
    text = f"{constant} has the shape {list(sizes)}, scales of shape {list(scales)} {of}"
    return Fault(
        code="OQ613",
        text=text,
        pair_node=pair_node.name,
        effect=effect,
        axis=axis,
        fix="write one scale for each block, in the shape of the constant but for that axis, and "
        "blocks that are all whole"
        if size
        else "",
    )


def misfit(scales: _Sizes, sizes: _Sizes, axis: int, block: int) -> Effect | None:
    """What happens to scales of a wrong shape for a constant of these sizes; None if they fit.

    TensorRT takes the size of blocks from the shapes, and no blocks that are cut off at the end;
    other runtimes hold that to be invalid which `block` does not say.
    """
    if len(scales) == 1 and not block:
        return None if is_valid(scales, sizes, axis, block) else Effect.REJECTED
    rank = len(sizes)
    if len(scales) != rank or not -rank <= axis < rank:
        return Effect.REJECTED
    others = [i for i in range(rank) if i != axis % rank]
    whole = scales[axis] and sizes[axis] % scales[axis] == 0
    of_one = scales == sizes and not block
    if any(scales[i] != sizes[i] for i in others) or not whole or of_one:
        return Effect.REJECTED
    return None if is_valid(scales, sizes, axis, block) else Effect.INVALID


def _shapes(model: QdqModel, pair_node: Node) -> tuple[_Sizes, _Sizes] | None:
    """The shapes of the scales and of what they scale, where they are known; None for scalars."""
    shapes = model.scale_shape(pair_node), model.graph.type(pair_node.inputs[0]).shape
    scales, sizes = (tuple(d for d in s or () if isinstance(d, int)) for s in shapes)
    if not scales or not sizes or [len(scales), len(sizes)] != [len(s or ()) for s in shapes]:
        return None
    return scales, sizes


def granularity(model: QdqModel, code: str, *, fix: str) -> Iterator[Finding]:
    """Findings of one code about the number of scales and their axis, one for each scale."""
    scales: set[str] = set()
    for place, fault in faulty_pairs(model):
        scale = model.graph.by_name[fault.pair_node].inputs[1]
        if fault.code == code and scale not in scales:
            scales.add(scale)
            node = model.graph.by_name[place]
            text = f"{node.op} '{node.name}': {fault.text}"
            yield finding(code, fault.effect, text, fix=fault.fix or fix, node=node.name)


def faulty_pairs(model: QdqModel) -> Iterator[tuple[str, Fault]]:
    """Names of nodes with what is wrong with the granularity of their pairs.

    Activations come first, then weights, then constants that other ops read.
    """
    for node in model.pair_nodes:
        if not model.is_constant(node.inputs[0]) and (fault := activation_fault(model, node)):
            yield node.name, fault
    of_weights: set[str] = set()
    for node in model.weighted_nodes:
        for slot, tensor in data_inputs(node):
            if model.is_constant(tensor) and (fault := weight_fault(model, node, slot)):
                of_weights.add(fault.pair_node)
                yield node.name, fault
    for node in model.pair_nodes:
        stored = node.op == DEQUANTIZE and model.is_constant(node.inputs[0])
        if stored and node.name not in of_weights and (fault := shape_fault(model, node)):
            yield node.name, fault
