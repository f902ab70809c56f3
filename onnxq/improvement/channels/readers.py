"""Products that read an activation, and their weights seen by the channels of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from onnxq.improvement.edits import Array
from onnxq.model.graph import Edge, Graph, Node

Form = Literal["conv", "rows", "columns"]
Blocks = NDArray[np.float32]  # groups x outputs x inputs of a group x taps


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A product of an activation and a stored weight that nothing else reads.

    `axis` is the channel axis of the activation: 1 of a convolution, the last (-1) of a matrix
    product. The weight of a matrix product has one row an input channel ('rows') or one column.
    """

    node: str
    weight: str
    form: Form
    groups: int = 1

    @property
    def axis(self) -> int:
        """The channel axis of the activation."""
        return 1 if self.form == "conv" else -1

    def channels(self, weight: Array) -> int:
        """Number of channels of the activation."""
        groups, _, inputs, _ = self.blocks(weight).shape
        return int(groups * inputs)

    def along(self, values: Array, weight: Array) -> Array:
        """One value a channel, in a shape that broadcasts along the channels of the activation."""
        return values.reshape(-1, *[1] * (weight.ndim - 2)) if self.form == "conv" else values

    def blocks(self, weight: Array) -> Blocks:
        """The weight as an array of groups x outputs x inputs of a group x taps."""
        if self.form == "conv":
            outputs, inputs = weight.shape[:2]
            shape = (self.groups, outputs // self.groups, inputs, -1)
            return weight.reshape(shape).astype(np.float32)
        matrix = weight.T if self.form == "rows" else weight
        return matrix[None, :, :, None].astype(np.float32)

    def weighted(self, weight: Array, factors: Array) -> Array:
        """The weight for an activation that is divided by `factors`, one a channel."""
        if self.form == "conv":
            by_group = factors.reshape(self.groups, 1, weight.shape[1], 1)
            return (self.blocks(weight) * by_group).reshape(weight.shape).astype(weight.dtype)
        by_input = factors[:, None] if self.form == "rows" else factors
        return (weight * by_input).astype(weight.dtype)


def reader(graph: Graph, edge: Edge) -> Reader | None:
    """The product that an edge leads to; None where it cannot take a factor a channel."""
    node = graph.by_name[edge.node]
    if edge.slot != 0 or node.domain or node.scope or len(node.inputs) < 2:
        return None
    weight, form = node.inputs[1], _form(graph, node)
    if form is None or not is_own(graph, weight) or 0 in (graph.type(weight).shape or ()):
        return None
    groups = int(node.attributes.get("group", 1)) if form == "conv" else 1
    return Reader(node=node.name, weight=weight, form=form, groups=groups)


def is_own(graph: Graph, constant: str) -> bool:
    """True for a stored constant that one node reads, once, and that is no output."""
    maker = graph.producer(constant)
    is_stored = graph.is_constant(constant) and (maker is None or maker.op == "Constant")
    is_read_once = len(graph.consumers(constant)) == 1 and constant not in graph.given_out
    return is_stored and is_read_once and not graph.home(constant)


def _form(graph: Graph, node: Node) -> Form | None:
    rank = len(graph.type(node.inputs[1]).shape or ())
    if node.op == "Conv" and rank > 2:
        return "conv"
    if node.op == "MatMul" and rank == 2:
        return "rows"
    if node.op == "Gemm" and not node.attributes.get("transA"):
        return "columns" if node.attributes.get("transB") else "rows"
    return None
