"""Which type every float32 tensor gets where it is made, and where each op reads it."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Final

import onnx
from onnx import AttributeProto, TensorProto

from onnxq.insertion.float_types import Slots, float_tensors, in_float32, in_half
from onnxq.insertion.precision import Half
from onnxq.model.pairs import PAIR_OPS
from onnxq.model.preparing import opset

FP32: Final = TensorProto.FLOAT
DEQUANTIZE: Final = "DequantizeLinear"


class HalfTypes:
    """The types of a model's float32 tensors when all ops except those in `fp32` are in half.

    Types are numbers of onnx.TensorProto. `home` has the type in which each tensor is made, `ports`
    the graph's inputs and outputs, of type `port`. `slots` has every op except Q/DQ, `float_ops`
    those with float data, without Casts. An initializer is stored in half precision only when no
    op reads it in FP32.
    """

    def __init__(self, model: onnx.ModelProto, half: Half, fp32: Set[str], port: int) -> None:
        graph = model.graph
        self.half = half
        self.floats = float_tensors(model)
        self.stored = frozenset(t.name for t in graph.initializer)
        inputs = {i.name for i in graph.input} - self.stored
        self.ports = {
            name: port for name in (*inputs, *(o.name for o in graph.output)) if name in self.floats
        }
        version = opset(model)
        self.slots: dict[str, Slots] = {
            n.name: in_float32(n) if n.name in fp32 else in_half(n, version, half.name, self.floats)
            for n in graph.node
            if n.op_type not in PAIR_OPS
        }
        self.float_ops = [
            n.name
            for n in graph.node
            if n.op_type not in (*PAIR_OPS, "Cast")
            and not self.floats.isdisjoint((*n.input, *n.output))
        ]
        self.home: dict[str, int] = dict.fromkeys(inputs, port)
        self._read_types: dict[str, set[int]] = {}
        self._settle(graph)

    def type(self, in_half: bool) -> int:
        """The number of the half precision type, or of float32."""
        return self.half.proto if in_half else FP32

    def owner(self, tensor: str) -> int:
        """The type under the tensor's own name; in the other type it has another name."""
        return self.ports.get(tensor, self.home.get(tensor, FP32))

    def reads(self, node: onnx.NodeProto) -> Iterator[tuple[int, int]]:
        """Slot and type of every float32 tensor that a node reads."""
        if node.op_type in PAIR_OPS:
            data = node.output[0] if node.op_type == DEQUANTIZE else node.input[0]
            for slot in (0, 1):
                if node.input[slot] in self.floats:
                    yield slot, self.home.get(data, FP32)  # a stored weight stays in float32
            return
        for slot, tensor in enumerate(node.input):
            if tensor in self.floats:
                yield slot, self.type(self.slots[node.name].inputs[slot])

    def dequantized(self, tensor: str) -> list[int]:
        """The types in which a DequantizeLinear makes its output, the home first."""
        others = self._read_types.get(tensor, set()) | {self.owner(tensor)} - {self.home[tensor]}
        return [self.home[tensor], *sorted(others - {self.home[tensor]})]

    def _settle(self, graph: onnx.GraphProto) -> None:
        for node in graph.node:
            if node.op_type not in PAIR_OPS:
                self._note_reads(node)
                for slot, tensor in enumerate(node.output):
                    self.home[tensor] = self.type(self.slots[node.name].outputs[slot])
        for node in graph.node:
            if node.op_type == DEQUANTIZE:
                types = self._read_types.get(node.output[0], set())
                self.home[node.output[0]] = self.type(types != {FP32})
        for node in graph.node:
            if node.op_type in PAIR_OPS:
                self._note_reads(node)
        for name in self.stored:
            only_half = self._read_types.get(name) == {self.half.proto}
            self.home[name] = self.ports.get(name, self.type(only_half))

    def _note_reads(self, node: onnx.NodeProto) -> None:
        for slot, dtype in self.reads(node):
            self._read_types.setdefault(node.input[slot], set()).add(dtype)
        for tensor in captured(node) & self.floats:
            self._read_types.setdefault(tensor, set()).add(FP32)


def captured(node: onnx.NodeProto) -> frozenset[str]:
    """Names that the subgraphs of a node read, including those that they define themselves."""
    return frozenset(name for graph in subgraphs(node) for name in _names_read(graph))


def subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs among a node's attributes."""
    return [
        graph
        for a in node.attribute
        for graph in (*a.graphs, *((a.g,) if a.type == AttributeProto.GRAPH else ()))
    ]


def _names_read(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from node.input
        yield from captured(node)
    yield from (o.name for o in graph.output)
