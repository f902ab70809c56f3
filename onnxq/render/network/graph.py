"""The boxes and lines of a graph: its nodes, inputs and outputs, and the tensors between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from onnxq.model.graph import Graph, Node, TensorType

MOST_BOXES: Final = 5000  # nobody finds anything among more
MOST_LAYERS: Final = 50_000  # that all wires cross together: a layout takes seconds then
BoxKind = Literal["input", "node", "output"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A node, or an input or output of the graph. `label` is the operator, or the port's name."""

    kind: BoxKind
    name: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A tensor from one box to another, by their numbers; `shape` is text such as 1x3x640x640."""

    begin: int
    end: int
    tensor: str
    shape: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The boxes in graph order and the wires between them. What is constant is not drawn."""

    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]

    @property
    def why_not_drawn(self) -> str:
        """Why a picture of it helps nobody; '' where it can be drawn."""
        if len(self.boxes) > MOST_BOXES:
            return f"it has {len(self.boxes):,} nodes, inputs and outputs, over {MOST_BOXES:,}"
        depths = [0] * len(self.boxes)
        for wire in sorted(self.wires, key=lambda wire: wire.begin):
            if wire.begin < wire.end:
                depths[wire.end] = max(depths[wire.end], depths[wire.begin] + 1)
        crossed = sum(max(depths[wire.end] - depths[wire.begin], 0) for wire in self.wires)
        if crossed > MOST_LAYERS:
            return f"its lines cross {crossed:,} layers together, over {MOST_LAYERS:,}"
        return ""


def network(graph: Graph) -> Network:
    """What there is to draw of a graph."""
    nodes = [node for node in graph.nodes if not _is_constant(graph, node)]
    boxes = (
        *(Box(kind="input", name=name, label=name) for name in graph.inputs),
        *(Box(kind="node", name=node.name, label=node.op) for node in nodes),
        *(Box(kind="output", name=name, label=name) for name in graph.outputs),
    )
    numbers = {(box.kind, box.name): number for number, box in enumerate(boxes)}
    makers = {name: numbers["input", name] for name in graph.inputs}
    makers |= {out: numbers["node", node.name] for node in nodes for out in node.outputs if out}
    wires = dict.fromkeys(
        Wire(
            begin=makers[tensor],
            end=numbers[reader],
            tensor=tensor,
            shape=_shape(graph.type(tensor)),
        )
        for reader, tensor in _uses(graph, nodes)
        if tensor in makers
    )
    return Network(boxes=boxes, wires=tuple(wires))


def _is_constant(graph: Graph, node: Node) -> bool:
    return all(graph.is_constant(out) for out in node.outputs if out)


def _uses(graph: Graph, nodes: list[Node]) -> Iterator[tuple[tuple[BoxKind, str], str]]:
    """Each use of a tensor; a node with bodies uses what they hand on, they what it takes in."""
    drawn = {node.name for node in nodes}
    for node in nodes:
        yield from ((("node", node.name), tensor) for tensor in node.inputs)
        passed = set(node.outputs)
        for reader in graph.successors[node.name]:
            if reader.name in drawn and not passed.intersection(reader.inputs):
                yield ("node", reader.name), next(out for out in node.outputs if out)
    yield from ((("output", name), name) for name in graph.outputs)


def _shape(tensor: TensorType) -> str:
    if tensor.shape is None:
        return ""
    return "x".join("?" if size is None else str(size) for size in tensor.shape)
