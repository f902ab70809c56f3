"""A view of a model for its Q/DQ nodes: scales, zero points, and where a tensor comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from onnxq.diagnostics import OnnxqError
from onnxq.model.graph import Graph, Node
from onnxq.model.node_inputs import channel_axis, crossed
from onnxq.model.ops import traits
from onnxq.model.pairs import DEQUANTIZE, PAIR_TYPES, QUANTIZE, is_pair_node
from onnxq.model.preparing import name_nodes
from onnxq.model.products import is_product
from onnxq.model.scopes import defined, nodes, scopes
from onnxq.model.signs import may_be_negative

# What the values of a constant raise that is damaged, or whose data file is not there.
_UNREADABLE: Final = (OSError, ValueError, TypeError, NotImplementedError, OnnxqError)


class QdqModel:
    """A view of any valid ModelProto for its Q/DQ nodes; it does not change the model.

    `named` is the model itself, or a copy in which every node has a name of its own.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.proto = model
        self.named = _uniquely_named(model)
        self.graph = Graph(self.named)

    @cached_property
    def pair_nodes(self) -> tuple[Node, ...]:
        """Every QuantizeLinear and DequantizeLinear that has data and a scale, in node order."""
        return tuple(n for n in self.graph.nodes if is_pair_node(n))

    @cached_property
    def hidden_pair_nodes(self) -> int:
        """How many Q and DQ there are in local functions, and in subgraphs of unknown ops."""
        return sum(op in PAIR_TYPES for op in self.graph.hidden_ops)

    @cached_property
    def weighted_nodes(self) -> tuple[Node, ...]:
        """Every product that TensorRT may compute in INT8, in node order."""
        return tuple(n for n in self.product_nodes if traits(n).weighted)

    @cached_property
    def product_nodes(self) -> tuple[Node, ...]:
        """Every op that multiplies matrices or filters when the engine runs, in node order."""
        return tuple(
            n
            for n in self.graph.nodes
            if is_product(self.graph, n) and not all(map(self.is_constant, n.outputs))
        )

    @cached_property
    def _from_constants(self) -> frozenset[str]:
        tensors: set[str] = set()
        for node in self.graph.nodes:
            inputs = [i for i in node.inputs if i and not self.graph.is_constant(i)]
            # A subgraph reads outer tensors that are not among the inputs.
            whole = not any(isinstance(a, onnx.GraphProto) for a in node.attributes.values())
            computed = any(node.inputs) and whole and tensors.issuperset(inputs)
            if computed or node.type == "Constant":
                tensors.update(node.outputs)
        return frozenset(tensors)

    def is_constant(self, tensor: str) -> bool:
        """True when the tensor is computed from constants alone, so that a compiler can fold it."""
        return self.graph.is_constant(tensor) or tensor in self._from_constants

    def value(self, tensor: str) -> NDArray[Any] | None:
        """Values of a constant, also behind Identity; None where lint does not know them."""
        while (node := self.graph.producer(tensor)) and node.type == "Identity" and node.inputs:
            tensor = node.inputs[0]
        if not self.graph.is_constant(tensor):
            return None
        try:
            return self.graph.array(tensor)
        except _UNREADABLE:
            return None

    def scale(self, pair_node: Node) -> NDArray[np.float64] | None:
        """The scale of a Q or DQ as float64; None where lint does not know it."""
        value = self.value(pair_node.inputs[1])
        return None if value is None else value.astype(np.float64)

    def scale_shape(self, pair_node: Node) -> tuple[Any, ...] | None:
        """The shape of a scale; None when it is not known."""
        value = self.value(pair_node.inputs[1])
        return self.graph.type(pair_node.inputs[1]).shape if value is None else value.shape

    def zero_point(self, pair_node: Node) -> str:
        """The tensor that is the zero point of a Q or DQ; '' when it has none."""
        return pair_node.inputs[2] if len(pair_node.inputs) > 2 else ""

    def quantized_side(self, pair_node: Node) -> str:
        """The quantized tensor that a Q writes or a DQ reads."""
        return pair_node.outputs[0] if pair_node.op == QUANTIZE else pair_node.inputs[0]

    def quantizer(self, dequantize: Node) -> Node | None:
        """The QuantizeLinear that a DequantizeLinear reads; None for a stored quantized tensor."""
        node = self.graph.producer(dequantize.inputs[0])
        return node if node is not None and is_pair_node(node, QUANTIZE) else None

    def pairs(self) -> Iterator[tuple[Node, Node]]:
        """Every QuantizeLinear with each DequantizeLinear that reads it, in node order."""
        for node in self.pair_nodes:
            quantize = self.quantizer(node) if node.op == DEQUANTIZE else None
            if quantize is not None:
                yield quantize, node

    def first_by(self, tensor_of: Callable[[Node], str]) -> Iterator[tuple[Node, str]]:
        """The first of the Q and DQ nodes that have one tensor, such as a scale, and the tensor."""
        tensors: set[str] = set()
        for node in self.pair_nodes:
            tensor = tensor_of(node)
            if tensor not in tensors:
                tensors.add(tensor)
                yield node, tensor

    def quantized_tensor(self, pair_node: Node) -> str:
        """What a Q or DQ quantizes: the float tensor, or a stored quantized one."""
        node = self.quantizer(pair_node) or pair_node
        return node.inputs[0]

    def readers(self, tensor: str) -> tuple[Node, ...]:
        """The nodes that read a tensor, each once."""
        names = dict.fromkeys(e.node for e in self.graph.consumers(tensor))
        return tuple(self.graph.by_name[name] for name in names)

    def quantizers(self, tensor: str) -> tuple[Node, ...]:
        """The QuantizeLinear nodes that read a tensor."""
        return tuple(
            n for n in self.readers(tensor) if is_pair_node(n, QUANTIZE) and n.inputs[0] == tensor
        )

    def dequantizer(self, tensor: str) -> Node | None:
        """The DequantizeLinear that makes a tensor; None when it comes from something else."""
        node = self.graph.producer(tensor)
        return node if node is not None and is_pair_node(node, DEQUANTIZE) else None

    def quantized_type(self, pair_node: Node) -> int:
        """The type that a Q or DQ quantizes to, as onnx numbers it; 0 where it is not written."""
        if zero_point := self.zero_point(pair_node):
            return self.graph.type(zero_point).dtype
        if pair_node.op == QUANTIZE:  # inferred as uint8 where nothing is written: OQ610
            return int(pair_node.attributes.get("output_dtype", 0))
        return self.graph.type(pair_node.inputs[0]).dtype

    def dequantizers(self, tensor: str) -> tuple[tuple[Node, ...], tuple[str, ...]]:
        """Trace a tensor back across the ops that TensorRT moves a DequantizeLinear across.

        Returns the DequantizeLinear nodes that it comes from, and the tensors that come from none.
        """
        dequantizers: dict[str, Node] = {}
        bare: dict[str, None] = {}
        waiting, visited = [tensor], {tensor}
        while waiting:
            current = waiting.pop()
            node = self.graph.producer(current)
            ahead = () if node is None else crossed(self.graph, node)
            if node is not None and is_pair_node(node, DEQUANTIZE):
                dequantizers[node.name] = node
            elif ahead and not self._is_row(current, ahead):
                waiting.extend(t for t in reversed(ahead) if t not in visited)
                visited.update(ahead)
            else:
                bare[current] = None
        return tuple(dequantizers.values()), tuple(bare)

    def _is_row(self, tensor: str, ahead: Sequence[str]) -> bool:
        """True for what an op picks of a stored table with several scales.

        TensorRT-RTX 1.7 dequantizes it in the kernel of a Gather, so that its result is float.
        """
        return (
            bool(ahead)
            and not self.is_constant(tensor)
            and all(
                self.is_constant(t) and (maker := self.dequantizer(t)) and self.scale_shape(maker)
                for t in ahead
            )
        )

    def weight_dequantizer(self, node: Node, slot: int) -> tuple[Node, int | None] | None:
        """The DequantizeLinear of a constant operand, and its right channel axis.

        Identity and Transpose may stand between the two. None where there is no such node.
        """
        tensor, axis = node.inputs[slot], channel_axis(self.graph, node, slot)
        while (maker := self.graph.producer(tensor)) is not None and self.is_constant(tensor):
            if is_pair_node(maker, DEQUANTIZE):
                return maker, axis
            if maker.type == "Transpose":
                axis = _before_transpose(maker, axis, self.rank(maker.inputs[0]))
            elif maker.type != "Identity":
                return None
            tensor = maker.inputs[0]
        return None

    def may_be_negative(self, tensor: str) -> bool:
        """True unless the ops that make a tensor give nothing below zero."""

        def maker_of(name: str) -> tuple[str, tuple[str, ...]] | None:
            node = self.graph.producer(name)
            return None if node is None else (node.type, node.inputs)

        return may_be_negative(tensor, maker_of, sources=True)

    def rank(self, tensor: str) -> int | None:
        """Number of dimensions; None when it is not known."""
        shape = self.graph.type(tensor).shape
        return None if shape is None else len(shape)


def axis_of(pair_node: Node) -> int:
    """The `axis` attribute as written, which may be negative; 1 when absent."""
    return int(pair_node.attributes.get("axis", 1))


def is_blocked(pair_node: Node) -> bool:
    """True for block quantization, which has rules of its own."""
    return bool(block_size(pair_node))


def block_size(pair_node: Node) -> int:
    """The number of values in a block; 0 where there are no blocks."""
    return int(pair_node.attributes.get("block_size", 0))


def _before_transpose(node: Node, axis: int | None, rank: int | None) -> int | None:
    if axis is None or rank is None or axis >= rank:
        return None
    order = node.attributes.get("perm") or range(rank)[::-1]
    return int(order[axis])


def _uniquely_named(model: onnx.ModelProto) -> onnx.ModelProto:
    names = [n.name for _, n in nodes(model.graph)]
    values = [name for _, graph in scopes(model.graph) for name in set(defined(graph))]
    if all(names) and all(len(set(group)) == len(group) for group in (names, values)):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return name_nodes(copy)
