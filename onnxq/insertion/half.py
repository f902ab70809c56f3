"""Q/DQ model -> the same with its float rest in FP16 or BF16, strongly typed as TensorRT reads it.

An op computes in half precision or in FP32 as a whole. A Cast stands where the type changes, one
for each tensor; a DequantizeLinear that ops of both types read stands twice instead, and a
QuantizeLinear has the type of what it reads, so that around pairs there is no Cast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from onnxq.diagnostics import error
from onnxq.insertion.half_types import DEQUANTIZE, FP32, HalfTypes, captured, subgraphs
from onnxq.insertion.insert import fault
from onnxq.insertion.precision import Half
from onnxq.model import weights
from onnxq.model.pairs import PAIR_OPS
from onnxq.model.preparing import name_nodes, raised
from onnxq.model.scopes import free_name, names, nodes
from onnxq.quantization import representable

IoTypes = Literal["keep", "half"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatRest:
    """How many ops compute in half precision and how many in FP32, and the number of new Casts.

    Q/DQ, Casts and ops without float data do not count. `kept` has the ops in FP32, each with its
    reason: a rule, a tensor, or that the type does not fit the op.
    """

    type: str
    half_ops: int
    casts: int
    kept: Mapping[str, str]


def lower(
    model: onnx.ModelProto, half: Half, *, kept: Mapping[str, str], io_types: IoTypes = "keep"
) -> tuple[onnx.ModelProto, FloatRest]:
    """Return a copy of the model in half precision, except for the nodes in `kept`.

    `kept` maps node names to reasons. `io_types` "keep" leaves graph inputs and outputs in float32.
    The opset is raised to the first one that supports the type (OQ304). Subgraphs and local
    functions stay in FP32. Raises OQ503 when the result of a valid model would not be valid.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result = name_nodes(raised(result, half.opset))
    _store_constants(result.graph)
    types = HalfTypes(result, half, kept.keys(), half.proto if io_types == "half" else FP32)
    casts = _Writer(result.graph, types).write()
    if (problem := fault(result, full=True)) and not fault(model, full=True):
        raise error(
            "OQ503",
            f"the model in {half.called} would not be valid: {problem}",
            fix="report this to onnxq with the model; nothing was written",
        )
    in_fp32 = [name for name in types.float_ops if not any(types.slots[name].all)]
    return result, FloatRest(
        type=half.called,
        half_ops=len(types.float_ops) - len(in_fp32),
        casts=casts,
        kept={name: kept.get(name, f"{half.called} does not fit the op") for name in in_fp32},
    )


def _store_constants(graph: onnx.GraphProto) -> None:
    """Replace float32 Constant nodes by initializers, which can be stored in two types."""
    others = []
    for node in graph.node:
        value = _constant(node) if node.op_type == "Constant" and not node.domain else None
        if value is None:
            others.append(node)
        else:
            graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    del graph.node[:]
    graph.node.extend(others)


def _constant(node: onnx.NodeProto) -> NDArray[Any] | None:
    attribute = node.attribute[0]
    if attribute.name == "value" and attribute.t.data_type == FP32:
        return weights.array(attribute.t)
    if attribute.name in ("value_float", "value_floats"):
        return np.asarray(helper.get_attribute_value(attribute), np.float32)
    return None


class _Writer:
    """Gives the nodes, initializers and annotations of a graph their types, in place."""

    def __init__(self, graph: onnx.GraphProto, types: HalfTypes) -> None:
        self._graph = graph
        self._types = types
        self._type_names = {FP32: "float32", types.half.proto: types.half.name}
        self._taken = names(graph)
        self._other_names: dict[tuple[str, int], str] = {}  # of tensors in their second type
        self._available = {(i.name, types.home.get(i.name, FP32)) for i in graph.input}
        self._stored: set[tuple[str, int]] = set()  # initializers with the types that nodes read
        self._nodes: list[onnx.NodeProto] = []
        self._casts = 0

    def write(self) -> int:
        """Write all types; return the number of new Casts."""
        for node in self._graph.node:
            self._add(node)
        for output in self._graph.output:
            if output.name in self._types.floats:
                self._need(output.name, self._types.owner(output.name))
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        self._write_stored()
        for value in (*self._graph.input, *self._graph.output, *self._graph.value_info):
            if value.name in self._types.floats:
                value.type.tensor_type.elem_type = self._types.owner(value.name)
        return self._casts

    def _add(self, node: onnx.NodeProto) -> None:
        types = self._types
        if node.op_type == DEQUANTIZE and node.output[0] in types.floats:
            self._add_dequantizers(node)
            return
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for slot, dtype in types.reads(node):
            copy.input[slot] = self._need(node.input[slot], dtype)
        inside = {t: self._need(t, FP32) for t in sorted(captured(node) & types.floats)}
        for graph in subgraphs(copy):
            _rename(graph, inside)
        for slot, tensor in enumerate(node.output):
            if tensor in types.floats:
                copy.output[slot] = self._output(tensor, types.home[tensor])
        self._nodes.append(copy)

    def _add_dequantizers(self, node: onnx.NodeProto) -> None:
        (output,) = node.output
        for dtype in self._types.dequantized(output):
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.input[1] = self._need(node.input[1], dtype)
            copy.output[0] = self._output(output, dtype)
            if dtype != self._types.home[output]:
                copy.name = self._free(f"{node.name}_{self._type_names[dtype]}")
            self._nodes.append(copy)

    def _output(self, tensor: str, dtype: int) -> str:
        """The name of an output that a new node makes in a type."""
        self._available.add((tensor, dtype))
        return self._name(tensor, dtype)

    def _need(self, tensor: str, dtype: int) -> str:
        """The name of a tensor in a type; a Cast is added when no node makes it in that type."""
        name = self._name(tensor, dtype)
        if tensor in self._types.stored:
            self._stored.add((tensor, dtype))
        elif (tensor, dtype) not in self._available:
            source = self._name(tensor, self._types.home[tensor])
            node_name = self._free(f"{tensor}_Cast_{self._type_names[dtype]}")
            self._nodes.append(helper.make_node("Cast", [source], [name], name=node_name, to=dtype))
            self._available.add((tensor, dtype))
            self._casts += 1
        return name

    def _name(self, tensor: str, dtype: int) -> str:
        if self._types.owner(tensor) == dtype:
            return tensor
        if (tensor, dtype) not in self._other_names:
            self._other_names[tensor, dtype] = self._free(f"{tensor}_{self._type_names[dtype]}")
        return self._other_names[tensor, dtype]

    def _free(self, name: str) -> str:
        free = free_name(name, self._taken)
        self._taken.add(free)
        return free

    def _write_stored(self) -> None:
        """Write initializers in the types that nodes read; round every scale to half precision."""
        half = self._types.half
        scales = {n.input[1] for _, n in nodes(self._graph) if n.op_type in PAIR_OPS}
        types: dict[str, set[int]] = {}
        for tensor, dtype in self._stored:
            types.setdefault(tensor, set()).add(dtype)
        initializers = []
        for stored in self._graph.initializer:
            if types.get(stored.name, {FP32}) == {FP32}:
                initializers.append(stored)
                continue
            for dtype in sorted(types[stored.name]):
                name = self._name(stored.name, dtype)
                initializers.append(_stored(stored, name, dtype, half, is_scale=name in scales))
        del self._graph.initializer[:]
        self._graph.initializer.extend(initializers)


def _stored(
    tensor: onnx.TensorProto, name: str, dtype: int, half: Half, *, is_scale: bool
) -> onnx.TensorProto:
    """An initializer in one of two types. A scale has the same value in both, as Q and DQ need."""
    values = weights.array(tensor)
    if is_scale:  # never rounded to zero, nor down where the type loses bits
        values = representable(values, half.dtype)
    if dtype != FP32:
        with np.errstate(over="ignore"):  # a rule that wants half precision gets infinities
            values = values.astype(half.dtype)
    stored = helper.make_tensor(name, dtype, tensor.dims, values.tobytes(), raw=True)
    stored.doc_string = tensor.doc_string
    return stored


def _rename(graph: onnx.GraphProto, new_names: Mapping[str, str]) -> None:
    """Let a subgraph read tensors of the outer graph by their new names, in place."""
    for node in graph.node:
        node.input[:] = [new_names.get(name, name) for name in node.input]
        for inner in subgraphs(node):
            _rename(inner, new_names)
    for output in graph.output:
        output.name = new_names.get(output.name, output.name)
