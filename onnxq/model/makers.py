"""Which op computes which channels of a tensor: followed back through what only moves values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from onnxq.model.graph import Graph, Node, Shape
from onnxq.model.ops import traits


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """The ops that compute one channel, by name; `bounded` if all results are from 0 to 1.

    A channel of a Concat along another axis has several.
    """

    nodes: tuple[str, ...]
    bounded: bool


Makers = tuple[Maker, ...]


def makers(graph: Graph, tensor: str, axis: int, size: int) -> Makers:
    """The maker of each of the `size` channels along an axis of a tensor."""
    node = graph.producer(tensor)
    if node is None:
        return (Maker(nodes=(tensor,), bounded=False),) * size
    row = traits(node)
    step = _STEPS.get(node.type)
    before = step(graph, tensor, axis, size) if step is not None else None
    if before is not None:
        return before
    bounded = row.nonnegative and row.largest == "one"
    return (Maker(nodes=(node.name,), bounded=bounded),) * size


def _maker(graph: Graph, tensor: str) -> Node:
    node = graph.producer(tensor)
    assert node is not None
    return node


def _unchanged(graph: Graph, tensor: str, axis: int, size: int) -> Makers:
    node = _maker(graph, tensor)
    return makers(graph, node.inputs[0], axis, size)


def _scaled(graph: Graph, tensor: str, axis: int, size: int) -> Makers | None:
    """Of the one computed operand; a factor may take its values out of 0 to 1.

    A product of values from 0 to 1, such as objectness and class scores, stays there.
    """
    node = _maker(graph, tensor)
    computed = [i for i in node.inputs if not graph.is_constant(i)]
    if node.type == "Mul" and len(computed) == 2 and all(_bounded(graph, i) for i in computed):
        return (Maker(nodes=(node.name,), bounded=True),) * size
    if len(computed) != 1 or not _same_rank(graph, computed[0], node.outputs[0]):
        return None
    return tuple(
        Maker(nodes=m.nodes, bounded=False) for m in makers(graph, computed[0], axis, size)
    )


def _bounded(graph: Graph, tensor: str) -> bool:
    """True where all values are from 0 to 1, by the makers along an axis of known size."""
    shape = graph.type(tensor).shape or ()
    known = [(axis, size) for axis, size in enumerate(shape) if isinstance(size, int) and size > 0]
    return bool(known) and all(m.bounded for m in makers(graph, tensor, *known[-1]))


def _cut(graph: Graph, tensor: str, axis: int, size: int) -> Makers | None:
    """Of the channels that a Split or Slice takes, from the first of them."""
    node = _maker(graph, tensor)
    whole = graph.type(node.inputs[0]).shape
    if whole is None:
        return None
    if node.type == "Slice":
        first = _first_of_slice(graph, node, axis, len(whole))
    else:
        first = _first_of_split(graph, node, tensor, axis, len(whole))
    length = whole[axis]
    if first is None or not isinstance(length, int):
        return makers(graph, node.inputs[0], axis, size) if first == 0 else None
    first += length if first < 0 else 0
    made = makers(graph, node.inputs[0], axis, length)[first : first + size]
    return made if len(made) == size else None


def _first_of_split(graph: Graph, node: Node, tensor: str, axis: int, rank: int) -> int | None:
    if node.attributes.get("axis", 0) % rank != axis:
        return 0
    ahead = node.outputs[: node.outputs.index(tensor)]
    shapes = [graph.type(output).shape for output in ahead]
    lengths = [shape[axis] if shape is not None else None for shape in shapes]
    known = [length for length in lengths if isinstance(length, int)]
    return sum(known) if len(known) == len(lengths) else None


def _first_of_slice(graph: Graph, node: Node, axis: int, rank: int) -> int | None:
    tensors = dict(zip(("data", "starts", "ends", "axes", "steps"), node.inputs, strict=False))
    constants = {name: t for name, t in tensors.items() if name != "data" and t}
    if "starts" not in constants or not all(map(graph.is_constant, constants.values())):
        return None
    values = {name: graph.array(t).ravel().tolist() for name, t in constants.items()}
    axes = [a % rank for a in values.get("axes", range(len(values["starts"])))]
    if axis not in axes:
        return 0
    place = axes.index(axis)
    steps = values.get("steps", [1] * len(axes))
    return int(values["starts"][place]) if steps[place] == 1 else None


def _same_rank(graph: Graph, first: str, second: str) -> bool:
    shapes = graph.type(first).shape, graph.type(second).shape
    return all(s is not None for s in shapes) and len(shapes[0] or ()) == len(shapes[1] or ())


def _transposed(graph: Graph, tensor: str, axis: int, size: int) -> Makers:
    node = _maker(graph, tensor)
    order = node.attributes.get("perm")
    before = axis if order is None else order[axis]
    if order is None:
        before = len(graph.type(node.outputs[0]).shape or ()) - 1 - axis
    return makers(graph, node.inputs[0], before, size)


def _reshaped(graph: Graph, tensor: str, axis: int, size: int) -> Makers | None:
    """The axis of the same size with as many values before it, or behind it."""
    node = _maker(graph, tensor)
    before, after = graph.type(node.inputs[0]).shape, graph.type(node.outputs[0]).shape
    if before is None or after is None:
        return None
    same = (
        place
        for place, length in enumerate(before)
        if length == size
        and (_equal(before[:place], after[:axis]) or _equal(before[place + 1 :], after[axis + 1 :]))
    )
    place = next(same, None)
    return None if place is None else makers(graph, node.inputs[0], place, size)


def _equal(first: Shape, second: Shape) -> bool:
    sizes = [d for d in (*first, *second) if isinstance(d, int)]
    known = len(sizes) == len(first) + len(second)
    return first == second or (known and math.prod(sizes[: len(first)]) == math.prod(second))  # type: ignore[arg-type]


def _joined(graph: Graph, tensor: str, axis: int, size: int) -> Makers | None:
    node = _maker(graph, tensor)
    shapes = [graph.type(i).shape for i in node.inputs]
    rank = next((len(s) for s in shapes if s is not None), 0)
    joins = node.attributes["axis"] % rank if rank else None
    if joins is None:
        return None
    if joins != axis:
        return _all_of([makers(graph, i, axis, size) for i in node.inputs])
    lengths = [s[axis] if s is not None else None for s in shapes]
    known = [n for n in lengths if isinstance(n, int)]
    if len(known) < len(lengths) - 1:
        return None
    sizes = [n if isinstance(n, int) else size - sum(known) for n in lengths]
    if sum(sizes) != size:
        return None
    pieces = zip(node.inputs, sizes, strict=True)
    return tuple(m for name, length in pieces for m in makers(graph, name, axis, length))


def _all_of(inputs: Sequence[Makers]) -> Makers:
    """Makers of channels that run through several tensors."""
    return tuple(
        Maker(nodes=tuple(n for m in each for n in m.nodes), bounded=all(m.bounded for m in each))
        for each in zip(*inputs, strict=True)
    )


_STEPS: Final[Mapping[str, Callable[[Graph, str, int, int], Makers | None]]] = {
    "Identity": _unchanged,
    "Cast": _unchanged,
    "QuantizeLinear": _unchanged,
    "DequantizeLinear": _unchanged,
    "Add": _scaled,
    "Sub": _scaled,
    "Mul": _scaled,
    "Div": _scaled,
    "Transpose": _transposed,
    "Reshape": _reshaped,
    "Flatten": _reshaped,
    "Squeeze": _reshaped,
    "Unsqueeze": _reshaped,
    "Concat": _joined,
    "Split": _cut,
    "Slice": _cut,
}
