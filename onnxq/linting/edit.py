"""Edits of a model in place, as repairs need them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from onnxq.model.pruning import drop_unread
from onnxq.model.scopes import defined, free_name, names, nodes, read_names, scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One repair of a node. `exact`: the model computes the same values as its file said before."""

    code: str
    node: str
    text: str
    exact: bool


class Edit:
    """An edit of a model, in place. The names of its nodes and tensors must be unique."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self._nodes = {n.name: n for _, n in nodes(model.graph)}
        self._homes = {name: g for _, g in scopes(model.graph) for name in defined(g)}
        self._taken = names(model.graph)
        self._constants: dict[tuple[str, str, tuple[int, ...], bytes], str] = {}

    def constant(self, stem: str, array: NDArray[Any]) -> str:
        """Name of an initializer with these values; this edit makes it once.

        It lies in the graph of the tensor `stem`, from which its name is made.
        """
        values = np.asarray(array)
        key = (stem, str(values.dtype), values.shape, values.tobytes())
        if key not in self._constants:
            name = self._take(f"{stem}_repaired")
            graph = self._homes.get(stem, self.model.graph)
            graph.initializer.append(numpy_helper.from_array(values, name))
            self._constants[key] = name
        return self._constants[key]

    def _take(self, name: str) -> str:
        free = free_name(name, self._taken)
        self._taken.add(free)
        return free

    def rewire(self, node: str, slot: int, tensor: str) -> None:
        """Let an input of a node read another tensor."""
        inputs = self._nodes[node].input
        while len(inputs) <= slot:
            inputs.append("")
        inputs[slot] = tensor

    def relu(self, node: str) -> None:
        """Put a Relu in front of the first input of a node."""
        graph, place = next(
            (graph, place)
            for _, graph in scopes(self.model.graph)
            for place, n in enumerate(graph.node)
            if n.name == node
        )
        tensor = self._nodes[node].input[0]
        result = self._take(f"{tensor}_relu")
        relu = onnx.helper.make_node("Relu", [tensor], [result], name=self._take(f"{node}_Relu"))
        graph.node.insert(place, relu)
        self.rewire(node, 0, result)

    def parameters(
        self, nodes: Iterable[str], scale: NDArray[Any], zero_point: NDArray[Any], axis: int | None
    ) -> None:
        """Give Q and DQ nodes another scale and zero point; `axis` None is per tensor."""
        for name in nodes:
            stem = self._nodes[name].input[1]
            self.rewire(name, 1, self.constant(stem, scale))
            self.rewire(name, 2, self.constant(f"{stem}_zero_point", zero_point))
            self.axis(name, axis)

    def axis(self, node: str, axis: int | None) -> None:
        """Write the `axis` of a Q or DQ, or remove it."""
        attributes = self._nodes[node].attribute
        kept = [a for a in attributes if a.name not in ("axis", "output_dtype")]
        del attributes[:]
        attributes.extend(kept)
        if axis is not None:
            attributes.append(onnx.helper.make_attribute("axis", axis))

    def replace(self, tensor: str, other: str) -> None:
        """Let every node that reads a tensor read another one."""
        for _, node in nodes(self.model.graph):
            for slot, name in enumerate(node.input):
                if name == tensor:
                    node.input[slot] = other

    def reads(self) -> set[str]:
        """Every tensor that a node reads, and every output."""
        graph = self.model.graph
        return read_names(graph.node) | {o.name for o in graph.output}

    def drop_unread(self, before: set[str]) -> None:
        """Remove nodes and initializers that nodes read before and do not read now."""
        graph = self.model.graph
        inputs = {i.name for i in graph.input} - {t.name for t in graph.initializer}
        drop_unread(graph, before - inputs)
