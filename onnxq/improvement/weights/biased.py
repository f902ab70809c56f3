"""Ops whose output has a bias that an improver may change, and where that bias is stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from onnxq.improvement.edits import BIAS_SLOT, Array, Edits
from onnxq.model.constants import Constants
from onnxq.model.graph import Graph, Node
from onnxq.model.node_inputs import attribute

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Biased:
    """A product with a constant weight, and its bias: `values` has one number an output channel.

    `constant` stores the bias, in `shape`; it is '' for a Conv, ConvTranspose or Gemm that has none
    yet. What is stored is multiplied by `factor` (Gemm's beta). `axis` is that of the channels in
    the output.
    """

    node: Node
    constant: str
    values: Float64
    shape: tuple[int, ...]
    factor: float = 1.0
    axis: int = -1

    @property
    def output(self) -> str:
        """The output of the op."""
        return self.node.outputs[0]

    def shifted(self, shift: Float64) -> Array:
        """The array to store for an output that is larger by a shift, one a channel."""
        return np.asarray(self.values + shift / self.factor, np.float32).reshape(self.shape)

    def edits(self, shift: Float64, note: str = "") -> Edits:
        """The edits that shift the output."""
        stored = self.shifted(shift)
        notes = {self.node.name: note} if note else {}
        if self.constant:
            return Edits(constants={self.constant: stored}, notes=notes)
        return Edits(biases={self.node.name: stored}, notes=notes)

    def channel_means(self, output: Array) -> Float64:
        """The mean of each channel of an output of this op; zeros for an empty one."""
        if not output.size:
            return np.zeros(len(self.values))
        others = tuple(a for a in range(output.ndim) if a != self.axis % output.ndim)
        return np.asarray(output.mean(axis=others, dtype=np.float64))


class Biases:
    """The biases of a graph that may be changed."""

    def __init__(self, model: onnx.ModelProto, graph: Graph) -> None:
        self._graph = graph
        self._stored = Constants(model.graph).stored()

    def of(self, nodes: Iterable[str]) -> tuple[tuple[Biased, ...], dict[str, str]]:
        """Those of some nodes, and by the name of any other node why it has none."""
        by_node = {name: self._of(self._graph.by_name[name]) for name in nodes}
        usable = tuple(b for b in by_node.values() if isinstance(b, Biased))
        return usable, {name: b for name, b in by_node.items() if isinstance(b, str)}

    def _of(self, node: Node) -> Biased | str:
        if node.scope:
            return "it is in a body of an If, Loop or Scan"
        if node.op not in _CHANNELS or node.domain:
            return f"{node.op} has no bias"
        if not self._graph.is_constant(node.inputs[1]):
            return "its weight is not a constant"
        if not (channels := output_channels(self._graph, node)):
            return "it has no output channels"
        if node.op == "MatMul":
            return self._added(node, channels)
        axis = -1 if node.op == "Gemm" else 1
        factor = float(attribute(node, "beta")) if node.op == "Gemm" else 1.0
        name = node.inputs[BIAS_SLOT] if len(node.inputs) > BIAS_SLOT else ""
        if not name:
            zeros = np.zeros(channels)
            return Biased(
                node=node, constant="", values=zeros, shape=zeros.shape, factor=factor, axis=axis
            )
        return self._checked(node, name, channels, factor=factor, axis=axis)

    def _added(self, node: Node, channels: int) -> Biased | str:
        """The constant that the one reader of a MatMul, an Add, adds to it."""
        readers = self._graph.consumers(node.outputs[0])
        adder = self._graph.by_name[readers[0].node] if len(readers) == 1 else None
        if adder is None or adder.op != "Add" or node.outputs[0] in self._graph.given_out:
            return "no Add behind it has its bias"
        name = adder.inputs[1 - readers[0].slot]
        if not self._graph.is_constant(name):
            return "no Add behind it has its bias"
        return self._checked(node, name, channels, factor=1.0, axis=-1)

    def _checked(
        self, node: Node, name: str, channels: int, *, factor: float, axis: int
    ) -> Biased | str:
        if name not in self._stored:
            return f"its bias '{name}' is computed"
        if len(self._graph.consumers(name)) > 1 or name in self._graph.given_out:
            return f"others read its bias '{name}' too"
        values = self._graph.array(name)
        if values.shape[-1:] != (channels,) or values.size != channels:
            return f"its bias '{name}' has not one value an output channel"
        if not factor or values.dtype.kind != "f":
            return f"its bias '{name}' has no effect" if not factor else "its bias is no float"
        flat = values.astype(np.float64).reshape(-1)
        return Biased(
            node=node, constant=name, values=flat, shape=values.shape, factor=factor, axis=axis
        )


def _filters(graph: Graph, node: Node) -> int:
    return _size(graph, node, 0)


def _transposed_filters(graph: Graph, node: Node) -> int:
    return _size(graph, node, 1) * int(attribute(node, "group"))


def _columns(graph: Graph, node: Node) -> int:
    return _size(graph, node, 0 if node.op == "Gemm" and attribute(node, "transB") else 1)


def _size(graph: Graph, node: Node, axis: int) -> int:
    """A size of the weight; 0 for one that is no matrix or filters."""
    shape = graph.array(node.inputs[1]).shape
    is_usual = len(shape) == 2 if node.op in ("Gemm", "MatMul") else len(shape) > 2
    return shape[axis] if is_usual else 0


_CHANNELS = {
    "Conv": _filters,
    "ConvTranspose": _transposed_filters,
    "Gemm": _columns,
    "MatMul": _columns,
}


def output_channels(graph: Graph, node: Node) -> int:
    """How many a product with a stored weight has; 0 where its weight is no matrix or filters."""
    return _CHANNELS[node.op](graph, node)
