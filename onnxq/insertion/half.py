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
from onnxq.model.io import name_nodes, raised
from onnxq.model.pairs import PAIR_OPS
from onnxq.model.scopes import free_name, names, nodes
from onnxq.quantization import representable

IoTypes = Literal["keep", "half"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatRest:
    """How many ops compute in half precision and how many in FP32, and the new Casts.

    Q/DQ, Casts and ops without float data do not count. `kept` says of the ops in FP32 why they
    are: a rule, a tensor, or that they cannot be of another type.
    """

    type: str
    half_ops: int
    casts: int
    kept: Mapping[str, str]


def lower(
    model: onnx.ModelProto, half: Half, *, kept: Mapping[str, str], io_types: IoTypes = "keep"
) -> tuple[onnx.ModelProto, FloatRest]:
    """Return a copy of the model in half precision, but for the nodes that `kept` has a reason for.

    `io_types` "keep" leaves graph inputs and outputs in float32. The opset is raised to the first
    that has what the type needs (OQ304). The model itself is not changed. Subgraphs and local
    functions stay in FP32. Raises OQ503 when a valid model would become one that is not.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result = name_nodes(raised(result, half.opset))
    _store_constants(result.graph)
    types = HalfTypes(result, half, kept.keys(), half.proto if io_types == "half" else FP32)
    casts = _Writer(result.graph, types).write()
    if (found := fault(result, full=True)) and not fault(model, full=True):
        raise error(
            "OQ503",
            f"the model in {half.called} would not be valid: {found}",
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
    """Make initializers of the float32 Constant nodes, so that they can have a type by use."""
    kept = []
    for node in graph.node:
        value = _constant(node) if node.op_type == "Constant" and not node.domain else None
        if value is None:
            kept.append(node)
        else:
            graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)


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
        self._called: dict[tuple[str, int], str] = {}
        self._there = {(i.name, types.home.get(i.name, FP32)) for i in graph.input}
        self._stored: set[tuple[str, int]] = set()  # initializers, in each type that is read
        self._nodes: list[onnx.NodeProto] = []
        self._casts = 0

    def write(self) -> int:
        """Do so; return the number of new Casts."""
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
                copy.output[slot] = self._made(tensor, types.home[tensor])
        self._nodes.append(copy)

    def _add_dequantizers(self, node: onnx.NodeProto) -> None:
        (output,) = node.output
        for dtype in self._types.dequantized(output):
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.input[1] = self._need(node.input[1], dtype)
            copy.output[0] = self._made(output, dtype)
            if dtype != self._types.home[output]:
                copy.name = self._free(f"{node.name}_{self._type_names[dtype]}")
            self._nodes.append(copy)

    def _made(self, tensor: str, dtype: int) -> str:
        self._there.add((tensor, dtype))
        return self._name(tensor, dtype)

    def _need(self, tensor: str, dtype: int) -> str:
        """The name of a tensor in a type; it is cast to that here if nothing has it yet."""
        name = self._name(tensor, dtype)
        if tensor in self._types.stored:
            self._stored.add((tensor, dtype))
        elif (tensor, dtype) not in self._there:
            home = self._name(tensor, self._types.home[tensor])
            called = self._free(f"{tensor}_Cast_{self._type_names[dtype]}")
            self._nodes.append(helper.make_node("Cast", [home], [name], name=called, to=dtype))
            self._there.add((tensor, dtype))
            self._casts += 1
        return name

    def _name(self, tensor: str, dtype: int) -> str:
        if self._types.owner(tensor) == dtype:
            return tensor
        if (tensor, dtype) not in self._called:
            self._called[tensor, dtype] = self._free(f"{tensor}_{self._type_names[dtype]}")
        return self._called[tensor, dtype]

    def _free(self, name: str) -> str:
        free = free_name(name, self._taken)
        self._taken.add(free)
        return free

    def _write_stored(self) -> None:
        """Write initializers in the types that are read; every scale as half precision has it."""
        half = self._types.half
        scales = {n.input[1] for _, n in nodes(self._graph) if n.op_type in PAIR_OPS}
        read: dict[str, set[int]] = {}
        for tensor, dtype in self._stored:
            read.setdefault(tensor, set()).add(dtype)
        written = []
        for stored in self._graph.initializer:
            types = read.get(stored.name, {FP32})
            if types == {FP32}:
                written.append(stored)
                continue
            for dtype in sorted(types):
                name = self._name(stored.name, dtype)
                written.append(_stored(stored, name, dtype, half, is_scale=name in scales))
        del self._graph.initializer[:]
        self._graph.initializer.extend(written)


def _stored(
    tensor: onnx.TensorProto, name: str, dtype: int, half: Half, *, is_scale: bool
) -> onnx.TensorProto:
    """An initializer in one of two types. Scales have equal values in both: Q and DQ must agree."""
    values = weights.array(tensor)
    if is_scale:  # neither zero nor smaller than it was
        values = representable(values, half.dtype)
    if dtype != FP32:
        with np.errstate(over="ignore"):  # a rule that wants half precision gets infinities
            values = values.astype(half.dtype)
    made = helper.make_tensor(name, dtype, tensor.dims, values.tobytes(), raw=True)
    made.doc_string = tensor.doc_string
    return made


def _rename(graph: onnx.GraphProto, names_now: Mapping[str, str]) -> None:
    """Let a subgraph read tensors of the outer graph by their new names."""
    for node in graph.node:
        node.input[:] = [names_now.get(name, name) for name in node.input]
        for inner in subgraphs(node):
            _rename(inner, names_now)
    for output in graph.output:
        output.name = names_now.get(output.name, output.name)
