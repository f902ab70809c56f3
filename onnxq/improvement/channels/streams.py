"""Activations whose channels are tied: one factor a channel moves from producers to readers.

Cross-layer equalization (Nagel et al., 2019, arXiv 1906.04721), from the ranges of activations: the
weights and biases of what makes a tensor are divided, the weights of what reads it are multiplied.
In between stand ops for which f(x / s) = f(x) / s, and sums, which tie all their inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from onnxq.improvement.channels.readers import Reader, is_own, reader
from onnxq.improvement.edits import Array
from onnxq.model.graph import Edge, Graph, Node

_KEEPS_FACTORS: Final = frozenset(
    {"AveragePool", "Dropout", "GlobalAveragePool", "GlobalMaxPool", "Identity", "LeakyRelu"}
    | {"MaxPool", "Relu"}
)  # of their first input, for positive factors
_SUMS: Final = frozenset({"Add", "Sum"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Tensors with the same channels on axis 1; Convs alone make them and products read them.

    `makers` are the weights and biases of the Convs, which nothing else reads; `nodes` are the
    Convs and the readers.
    """

    tensors: tuple[str, ...]
    nodes: frozenset[str]
    makers: tuple[str, ...]
    readers: tuple[Reader, ...]

    def divided(self, weights: Callable[[str], Array], factors: Array) -> dict[str, Array]:
        """The constants that divide the channels of the tensors, and change nothing behind them.

        `weights` gives the present value of a constant.
        """
        constants: dict[str, Array] = {}
        for name in self.makers:
            array = weights(name)
            shape = (-1, *[1] * (array.ndim - 1))
            constants[name] = (array / factors.reshape(shape)).astype(array.dtype)
        for read in self.readers:  # a Conv may both make and read them
            array = constants[read.weight] if read.weight in constants else weights(read.weight)
            constants[read.weight] = read.weighted(array, factors)
        return constants


def stream(graph: Graph, tensor: str) -> Stream | None:
    """The stream of a tensor; None where something in it cannot take factors."""
    tensors: dict[str, None] = {}
    makers: dict[str, None] = {}
    nodes: set[str] = set()
    readers: dict[Edge, Reader] = {}
    pending = [tensor]
    while pending:
        name = pending.pop()
        if name in tensors:
            continue
        tensors[name] = None
        above = None if name in graph.given_out else _above(graph, name)
        if above is None:
            return None
        pending += above[0]
        makers |= dict.fromkeys(above[1])
        if above[1] and (maker := graph.producer(name)) is not None:
            nodes.add(maker.name)
        for edge in graph.consumers(name):
            if (read := reader(graph, edge)) is not None and read.axis == 1:
                readers[edge] = read
            elif _passes(graph.by_name[edge.node], edge.slot):
                pending.append(graph.by_name[edge.node].outputs[0])
            else:
                return None
    counts = {graph.array(name).shape[0] for name in makers}
    counts |= {r.channels(graph.array(r.weight)) for r in readers.values()}
    if len(counts) != 1 or not readers:
        return None
    return Stream(
        tensors=tuple(tensors),
        nodes=frozenset(nodes.union(edge.node for edge in readers)),
        makers=tuple(makers),
        readers=tuple(readers.values()),
    )


def _above(graph: Graph, tensor: str) -> tuple[list[str], list[str]] | None:
    """What a tensor is made of: tensors of the stream, or the constants of a Conv."""
    node = graph.producer(tensor)
    if node is None or node.scope or tensor != node.outputs[0]:
        return None
    if node.type == "Conv":
        constants = [name for name in node.inputs[1:] if name]
        return ([], constants) if all(is_own(graph, name) for name in constants) else None
    if node.type in _SUMS:
        return list(node.inputs), []
    return ([node.inputs[0]], []) if node.type in _KEEPS_FACTORS else None


def _passes(node: Node, slot: int) -> bool:
    """True for an op whose first output has the factors of an input."""
    if node.scope or any(node.outputs[1:]):
        return False
    return node.type in _SUMS or (node.type in _KEEPS_FACTORS and slot == 0)
