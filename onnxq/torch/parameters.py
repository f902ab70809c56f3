"""The tensors of a model that torch can train, and which of them learn unless told otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from onnxq.model.graph import Edge, Graph, Node
from onnxq.model.ops import traits
from onnxq.model.pairs import is_pair_node
from onnxq.torch.pairs import QuantizedTensor
from onnxq.torch_graph.fake_quantization import spread
from onnxq.torch_graph.types import TYPES

# The inputs of an operator that training changes: weights, biases, factors of a normalization. Not
# the mean and variance of a BatchNormalization, which are statistics.
_SLOTS: Final[Mapping[str, tuple[int, ...]]] = {
    "BatchNormalization": (1, 2),
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (0, 1, 2),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "MatMul": (0, 1),
    "PRelu": (1,),
}
_PRODUCTS: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def parameters(graph: Graph, pairs: Iterable[QuantizedTensor]) -> dict[str, Tensor]:
    """The float constants of more than one value, and those that are stored in integers.

    The latter have the values that their DequantizeLinear gives.
    """
    stored = {pair.tensor: pair for pair in pairs if pair.stored}
    numbers = {scale for pair in pairs for scale in pair.scales}
    return {
        name: _dequantized(graph, stored[name]) if name in stored else _tensor(graph, name)
        for name in dict.fromkeys(t for node in graph.nodes for t in node.inputs)
        if graph.is_stored(name)
        and (name in stored or (name not in numbers and _is_data(graph, name)))
    }


def _is_data(graph: Graph, name: str) -> bool:
    dtype = TYPES.get(graph.type(name).dtype)
    return dtype is not None and dtype.is_floating_point and graph.array(name).size > 1


def _tensor(graph: Graph, name: str) -> Tensor:
    return torch.from_numpy(np.array(graph.array(name)))


def _dequantized(graph: Graph, pair: QuantizedTensor) -> Tensor:
    scale = torch.from_numpy(np.array(graph.array(pair.scales[0])))
    steps = torch.from_numpy(graph.array(pair.tensor).astype(np.float32)) - pair.zero_point
    return (steps * spread(pair.grid, scale.float(), steps)).to(scale.dtype)


def amaxes(graph: Graph, pairs: Iterable[QuantizedTensor]) -> dict[str, tuple[nn.Parameter, float]]:
    """The amax and its largest step, by the constants that hold scales.

    Pairs that have a constant in common, and those of one pair, share it.
    """
    shared: dict[str, tuple[nn.Parameter, float]] = {}
    for names, largest in _groups(pairs):
        scale = torch.from_numpy(np.array(graph.array(names[0]), np.float32))
        amax = nn.Parameter(scale * largest)
        shared |= dict.fromkeys(names, (amax, largest))
    return shared


def _groups(pairs: Iterable[QuantizedTensor]) -> Iterator[tuple[list[str], float]]:
    """The constants that have one scale, each group with the largest step of its first pair."""
    groups: dict[str, list[str]] = {}
    largest: dict[str, float] = {}
    for pair in pairs:
        names = list(dict.fromkeys(n for s in pair.scales for n in groups.get(s, [s])))
        largest[names[0]] = largest.get(names[0], pair.grid.bound)
        groups |= dict.fromkeys(names, names)
    for name, names in groups.items():
        if name == names[0]:
            yield names, largest[name]


def learns(graph: Graph, name: str) -> bool:
    """True for a constant that products, biases and normalizations alone read.

    A table that Gather reads, the mean of pictures, or the grid of a detector is none of these.
    """
    edges = list(_readers(graph, name))
    return bool(edges) and name not in graph.given_out and all(_learns(graph, e) for e in edges)


def _readers(graph: Graph, tensor: str) -> Iterator[Edge]:
    """What reads a tensor, also behind pairs and behind ops that move its values."""
    for edge in graph.consumers(tensor):
        node = graph.by_name[edge.node]
        moves = traits(node).moves and node.type != "Gather"  # that makes a table of it
        if edge.slot == 0 and (is_pair_node(node) or moves):
            for out in filter(None, node.outputs):
                yield from _readers(graph, out)
        else:
            yield edge


def _learns(graph: Graph, edge: Edge) -> bool:
    node = graph.by_name[edge.node]
    if edge.slot in _SLOTS.get(node.type, ()):
        return True
    if node.type not in ("Add", "Mul"):
        return False
    other = graph.producer(node.inputs[1 - edge.slot])
    return other is not None and _scales_or_shifts(graph, node, other)


def _scales_or_shifts(graph: Graph, node: Node, other: Node) -> bool:
    """True for the bias behind a product, and the factor and shift of a LayerNorm in small ops."""
    if other.type in _PRODUCTS:
        return node.type == "Add" and _has_weight(graph, other) and _is_bias(graph, node, other)
    if _normalizes(graph, other):
        return node.type == "Mul"
    makers = [graph.producer(name) for name in other.inputs]
    is_scaled = other.type == "Mul" and any(m and _normalizes(graph, m) for m in makers)
    return node.type == "Add" and is_scaled


def _has_weight(graph: Graph, product: Node) -> bool:
    """True for a product with a constant, as that of queries and keys has none."""
    return any(_from_constant(graph, name) for name in product.inputs[:2])


def _from_constant(graph: Graph, tensor: str) -> bool:
    while not graph.is_constant(tensor):
        node = graph.producer(tensor)
        if node is None or not (is_pair_node(node) or traits(node).moves):
            return False
        tensor = node.inputs[0]
    return True


def _is_bias(graph: Graph, add: Node, product: Node) -> bool:
    """True for a constant that has one value a channel of a product, and no other axis."""
    (constant,) = (name for name in add.inputs if name != product.outputs[0])
    shape = graph.type(constant).shape or ()
    behind = 0
    if product.type in ("Conv", "ConvTranspose"):
        behind = len(graph.type(product.outputs[0]).shape or (0, 0, 0, 0)) - 2
    return all(size == 1 for place, size in enumerate(reversed(shape)) if place != behind)


def _normalizes(graph: Graph, node: Node) -> bool:
    """True for the division by a square root, or the product with its reciprocal."""
    makers = [graph.producer(name) for name in node.inputs[:2]]
    kinds = [maker.type for maker in makers if maker is not None]
    if node.type == "Div":
        return "Sqrt" in kinds
    return node.type == "Mul" and "Reciprocal" in kinds
