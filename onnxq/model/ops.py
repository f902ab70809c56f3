"""What ONNX operators are, as a table: no policy here, and nothing about any one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import numpy as np
from onnx import defs

from onnxq.model.graph import Graph, Node, attribute_value

AxisOf = Callable[[Node, int], int | None]  # (node, rank of the weight) -> channel axis


@dataclass(frozen=True, slots=True, kw_only=True)
class OpTraits:
    """One row of the table.

    `data`: input slots that carry quantizable data, None for every input. A slot that holds a
    constant is a weight, any other an activation. `axes`: the output-channel axis of a weight by
    slot. `reduced`: the axis of a weight that a matrix product sums over, by slot; none where
    the weight is on the left, as TensorRT-RTX 1.7 crashes on blocks there. `observed`: calibration
    looks at the activations of this op; where two are joined, only at those that both are computed.
    `weighted`: a matrix product, the ops that INT8 is for. `commutative`: the first two inputs may
    change places. `keeps`: the output holds the values of the data inputs, each as often as they
    do.
    """

    data: tuple[int, ...] | None = (0,)
    axes: Mapping[int, AxisOf] = field(default_factory=dict)
    reduced: Mapping[int, AxisOf] = field(default_factory=dict)
    observed: bool = False
    weighted: bool = False
    commutative: bool = False
    keeps: bool = False


def _fixed(axis: int) -> AxisOf:
    return lambda node, rank: axis


def _gemm_a(node: Node, rank: int) -> int:
    return 1 if node.attributes.get("transA") else 0


def _gemm_b(node: Node, rank: int) -> int:
    return 0 if node.attributes.get("transB") else 1


def _from_end(offset: int) -> AxisOf:
    return lambda node, rank: rank - offset if rank > 1 else None  # a vector has one channel


def _other(axis_of: Callable[[Node, int], int]) -> AxisOf:
    return lambda node, rank: 1 - axis_of(node, rank)  # of a matrix


_CONV: Final = OpTraits(data=(0, 1), axes={1: _fixed(0)}, observed=True, weighted=True)
_POOL: Final = OpTraits(observed=True)
_MOVES: Final = OpTraits()
_KEEPS: Final = OpTraits(keeps=True)

TRAITS: Final[Mapping[str, OpTraits]] = {
    "Conv": _CONV,
    "ConvTranspose": OpTraits(data=(0, 1), axes={1: _fixed(1)}, observed=True, weighted=True),
    "Gemm": OpTraits(
        data=(0, 1),
        axes={0: _gemm_a, 1: _gemm_b},
        reduced={1: _other(_gemm_b)},
        observed=True,
        weighted=True,
    ),
    "MatMul": OpTraits(
        data=(0, 1),
        axes={0: _from_end(2), 1: _from_end(1)},
        reduced={1: _from_end(2)},
        observed=True,
        weighted=True,
    ),
    "Add": OpTraits(data=(0, 1), observed=True, commutative=True),
    "Mul": OpTraits(data=(0, 1), commutative=True),
    "Concat": OpTraits(data=None, observed=True, keeps=True),
    "MaxPool": _POOL,
    "AveragePool": _POOL,
    "GlobalAveragePool": _POOL,
    "Resize": OpTraits(observed=True),
    "Reshape": _KEEPS,
    "Transpose": _KEEPS,
    "Slice": _MOVES,
    "Split": _MOVES,
    "Squeeze": _KEEPS,
    "Unsqueeze": _KEEPS,
    "Flatten": _KEEPS,
    "Identity": _KEEPS,
    "Sigmoid": OpTraits(),
    "Relu": OpTraits(),
    "Clip": OpTraits(),
    "LeakyRelu": OpTraits(),
    "HardSigmoid": OpTraits(),
    "HardSwish": OpTraits(),
    "Softmax": OpTraits(),
}
_UNKNOWN: Final = OpTraits(data=None)

# Ops whose every result is one of the values of their first input, rounded to integers or not.
MOVES: Final = frozenset(
    {"Flatten", "Identity", "MaxPool", "Reshape", "Slice", "Split", "Squeeze", "Transpose"}
    | {"Unsqueeze"}
)


def traits(node: Node) -> OpTraits:
    """The table's row for a node; an op the table does not know has data in every input."""
    return TRAITS.get(node.type, _UNKNOWN)


def attribute(node: Node, name: str) -> Any:
    """Value of a node's attribute, or the default that ONNX gives it; None when it has neither."""
    if name in node.attributes:
        return node.attributes[name]
    return _defaults(node.op, node.domain).get(name)


@cache
def _defaults(op: str, domain: str) -> Mapping[str, Any]:
    if not defs.has(op, domain):
        return {}
    declared = defs.get_schema(op, domain).attributes.items()
    return {name: attribute_value(a.default_value) for name, a in declared if a.default_value.name}


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


def data_slots(graph: Graph, node: Node) -> tuple[int, ...]:
    """Input slots that hold data which could be quantized: float32, or of a type not known."""
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
    return None if axis is None or not shape else axis(node, len(shape))


def block_axis(graph: Graph, node: Node, slot: int) -> int | None:
    """The axis of a weight that its op sums over, where blocks lie; None where there is none."""
    axis = traits(node).reduced.get(slot)
    shape = graph.type(node.inputs[slot]).shape
    return None if axis is None or not shape else axis(node, len(shape))


def may_be_observed(graph: Graph, tensor: str) -> bool:
    """True for float32 and float16; outside of bodies also where the type is not known.

    A tensor leaves the body of an If, Loop or Scan only under a type.
    """
    kind = graph.type(tensor)
    return kind.may_be_float and bool(kind.dtype or not graph.home(tensor))


def observable(graph: Graph) -> tuple[str, ...]:
    """Activations that calibration observes when no recipe narrows them, in graph order."""
    tensors = (
        node.inputs[slot]
        for node in graph.nodes
        if traits(node).observed
        for slot in _joined(graph, node)
        if may_be_observed(graph, node.inputs[slot])
    )
    return tuple(dict.fromkeys(tensors))


def _joined(graph: Graph, node: Node) -> tuple[int, ...]:
    """The activation slots; none where a constant is added, which no recipe gains by quantizing."""
    slots = activation_slots(graph, node)
    return () if traits(node).commutative and len(slots) < 2 else slots
