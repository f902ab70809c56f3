"""Which tensors are float32, and which of an op could be half precision: from ONNX's schemas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cache
from typing import Final

import onnx
from onnx import AttributeProto, TensorProto, defs

from onnxq.model.graph import Graph
from onnxq.model.io import opset
from onnxq.model.pairs import PAIR_OPS

_FLOATS: Final[dict[int, str]] = {
    TensorProto.FLOAT: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
}
_GRAPHS: Final = (AttributeProto.GRAPH, AttributeProto.GRAPHS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """For each input and output of an op, whether it is in half precision when the op is.

    False for a tensor of another type than float32, and for one that ONNX always has in float32.
    """

    inputs: tuple[bool, ...]
    outputs: tuple[bool, ...]

    @property
    def all(self) -> tuple[bool, ...]:
        """Inputs, then outputs."""
        return (*self.inputs, *self.outputs)


def in_float32(node: onnx.NodeProto) -> Slots:
    """The slots of an op that stays in FP32."""
    return Slots(inputs=(False,) * len(node.input), outputs=(False,) * len(node.output))


def in_half(node: onnx.NodeProto, version: int, type_name: str, floats: Set[str]) -> Slots:
    """The slots of an op in half precision; all False when its types do not follow its inputs.

    That is so for an op with subgraphs or sequences, and for one with a float32 result whose type
    does not depend on its inputs, such as Cast. An op without a schema takes every type. `version`
    is the opset of ONNX's own operators, `floats` are the tensors of type float32.
    """
    inputs, outputs = ([t in floats for t in side] for side in (node.input, node.output))
    schema = _schema(node.op_type, node.domain, version)
    if any(a.type in _GRAPHS for a in node.attribute):
        return in_float32(node)
    if schema is None:
        return Slots(inputs=tuple(inputs), outputs=tuple(outputs))
    taken = _types(schema)
    has = {variable: f"tensor({type_name})" in types for variable, types in taken.items()}
    reads = list(zip(_variables(schema.inputs, len(inputs)), inputs, strict=True))
    makes = list(zip(_variables(schema.outputs, len(outputs)), outputs, strict=True))
    follows = {variable for variable, is_float in reads if is_float}
    holds_tensors = all(any(t.startswith("tensor") for t in types) for types in taken.values())
    if not holds_tensors or any(f and variable not in follows for variable, f in makes):
        return in_float32(node)
    return Slots(
        inputs=tuple(f and has.get(variable, False) for variable, f in reads),
        outputs=tuple(f and has.get(variable, False) for variable, f in makes),
    )


def float_tensors(model: onnx.ModelProto) -> frozenset[str]:
    """Names of the float32 tensors of the top-level graph.

    Where shape inference knows no type, as behind custom ops, it follows from the other tensors of
    the op: an input of a Conv has the type of the weight.
    """
    graph, version = Graph(model), opset(model)
    types: dict[str, int] = {}
    for node in model.graph.node:
        schema = _schema(node.op_type, node.domain, version)
        for name in (*node.input, *node.output):
            types[name] = types.get(name, 0) or graph.type(name).dtype
        if schema is not None and not all(types[n] for n in (*node.input, *node.output) if n):
            sides = ((schema.inputs, node.input), (schema.outputs, node.output))
            slots = [
                s
                for formal, names in sides
                for s in zip(_variables(formal, len(names)), names, strict=True)
            ]
            known = {variable: types[name] for variable, name in slots if types[name]}
            for variable, name in slots:
                types[name] = types[name] or known.get(variable, 0)
    ports = (v.name for v in (*model.graph.input, *model.graph.output))
    types |= {name: types.get(name, 0) or graph.type(name).dtype for name in ports}
    return frozenset(n for n, dtype in types.items() if n and dtype == TensorProto.FLOAT)


def computed_types(graph: Graph) -> dict[str, int]:
    """How many ops compute in 'fp32', 'fp16' and 'bf16': the type of a result, else of an input.

    Q/DQ, Casts and constants do not count. TensorRT keeps these types in a strongly typed network.
    """
    counts = Counter[str]()
    for node in graph.nodes:
        if node.op not in (*PAIR_OPS, "Cast", "Constant"):
            types = (graph.type(t).dtype for t in (*node.outputs, *node.inputs) if t)
            first = next((_FLOATS[dtype] for dtype in types if dtype in _FLOATS), None)
            counts.update(() if first is None else (first,))
    return dict(counts)


@cache
def _schema(op: str, domain: str, version: int) -> defs.OpSchema | None:
    domain = "" if domain == "ai.onnx" else domain
    try:
        return defs.get_schema(op, version, domain) if not domain else defs.get_schema(op, domain)
    except defs.SchemaError:
        return None


def _types(schema: defs.OpSchema) -> dict[str, Sequence[str]]:
    return {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}


def _variables(formal: Sequence[defs.OpSchema.FormalParameter], count: int) -> Iterator[str]:
    """The type variable, or the one type, of each actual parameter; a variadic one is repeated."""
    return (formal[min(i, len(formal) - 1)].type_str for i in range(count))
