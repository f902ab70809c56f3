"""A read-only view of a model: nodes, producers and consumers of tensors, shapes, constants."""

from __future__ import annotations

import copyreg
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from onnxq.diagnostics import first_line
from onnxq.model import weights
from onnxq.model.constants import Constants
from onnxq.model.ops import domain_of, type_of
from onnxq.model.scopes import Scope, all_nodes, bodies, defined, nodes, owner, scopes, subgraphs

Shape = tuple[int | str | None, ...]
QUANTIZABLE: Final = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operator call. `name` is unique in the model; absent optional inputs are ''.

    `type` is the operator with its domain: 'Conv', 'com.example::MultiAdd'. `scope` says in which
    body of If, Loop or Scan the node stands.
    """

    name: str
    type: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(compare=False)
    scope: Scope = ()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Edge:
    """One use of a tensor: input `slot` (zero-based) of the node called `node`."""

    node: str
    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorType:
    """Element type as onnx.TensorProto numbers it, and shape; both may be unknown."""

    dtype: int = 0
    shape: Shape | None = None

    @property
    def may_be_float(self) -> bool:
        """True for float32 and float16, the types that are quantized, and where none is known."""
        return self.dtype in (*QUANTIZABLE, onnx.TensorProto.UNDEFINED)


_UNKNOWN: Final = TensorType()
# What onnx's shape inference raises: where an operator set is not imported, on functions that call
# themselves, and on damaged values such as the number of a type that is none.
_REFUSALS: Final = (
    onnx.shape_inference.InferenceError,
    onnx.checker.ValidationError,
    ValueError,
)


def _view(content: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(content)


def _as_dict(view: MappingProxyType[Any, Any]) -> tuple[Any, ...]:
    return _view, (dict(view),)


copyreg.pickle(MappingProxyType, _as_dict)  # so that models and plans reach other processes


class Graph:
    """The graph of a model, as read-only data. Two graphs are equal when their digests are.

    Nodes in the bodies of If, Loop and Scan are among `nodes`, after the node that has the bodies.
    Names must be unique (`model.prepare`). `shapes` replaces the shapes of graph inputs
    before shape inference, for models with dynamic dimensions; `declared` are the input types that
    the file itself gives, and `hidden_ops` the types of the nodes in local functions and in
    subgraphs of other ops. `given_out` are the outputs of the graph and of every body.
    `shape_inference_problem` is the reason why onnx inferred no types and shapes; '' for none.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        *,
        digest: str = "",
        shapes: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self.digest = digest
        graph = model.graph
        self._constants = Constants(graph)
        self.nodes = tuple(_node(n, scope) for scope, n in nodes(graph))
        self.by_name = MappingProxyType({n.name: n for n in self.nodes})
        self.inputs = tuple(i.name for i in graph.input if i.name not in self._constants)
        self.declared = MappingProxyType(
            {i.name: _tensor_type(i.type.tensor_type) for i in graph.input}
        )
        self.outputs = tuple(o.name for o in graph.output)
        self.hidden_ops = tuple(_hidden_ops(model))
        scoped = list(scopes(graph))
        self._homes = {name: scope for scope, g in reversed(scoped) for name in defined(g)}
        self._taken_in = {i.name: owner(scope) for scope, g in scoped[1:] for i in g.input}
        self._handed_on = {o.name: owner(scope) for scope, g in scoped[1:] for o in g.output}
        self.given_out = frozenset((*self.outputs, *self._handed_on))
        types, self.shape_inference_problem = infer_types(model, shapes or {})
        self._types = types | {
            name: TensorType(dtype=constant.data_type, shape=tuple(constant.dims))
            for name, constant in self._constants.stored().items()
        }

    def with_shapes(self, model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> Graph:
        """The view of the same model with shapes of inputs; itself where it declares them."""
        if declares(model, shapes):
            return self
        return Graph(model, digest=self.digest, shapes=shapes)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.digest == other.digest

    @cached_property
    def _producers(self) -> Mapping[str, Node]:
        return {out: n for n in self.nodes for out in n.outputs if out}

    @cached_property
    def _consumers(self) -> Mapping[str, tuple[Edge, ...]]:
        uses: dict[str, list[Edge]] = {}
        for node in self.nodes:
            for slot, tensor in enumerate(node.inputs):
                if tensor:
                    uses.setdefault(tensor, []).append(Edge(node=node.name, slot=slot))
        return {tensor: tuple(edges) for tensor, edges in uses.items()}

    @cached_property
    def successors(self) -> Mapping[str, tuple[Node, ...]]:
        """The nodes that read a node's outputs, by the node's name.

        An If, Loop or Scan comes after the nodes that make the outputs of its bodies, and before
        the nodes that read the inputs of its bodies.
        """
        readers = {
            n.name: [e.node for out in n.outputs for e in self.consumers(out)] for n in self.nodes
        }
        for tensor, name in self._handed_on.items():
            if (maker := self.producer(tensor)) is not None:
                readers[maker.name].append(name)
        for tensor, name in self._taken_in.items():
            readers[name] += [e.node for e in self.consumers(tensor)]
        return {
            name: tuple(self.by_name[n] for n in dict.fromkeys(after))
            for name, after in readers.items()
        }

    @cached_property
    def predecessors(self) -> Mapping[str, tuple[Node, ...]]:
        """The nodes that make a node's inputs, by the node's name: `successors` turned around."""
        producers: dict[str, list[Node]] = {n.name: [] for n in self.nodes}
        for name, readers in self.successors.items():
            for reader in readers:
                producers[reader.name].append(self.by_name[name])
        return {name: tuple(before) for name, before in producers.items()}

    @cached_property
    def _by_type(self) -> Mapping[str, tuple[tuple[int, Node], ...]]:
        places: dict[str, list[tuple[int, Node]]] = {}
        for index, node in enumerate(self.nodes):
            places.setdefault(node.type, []).append((index, node))
        return {op: tuple(nodes) for op, nodes in places.items()}

    def nodes_of(self, types: frozenset[str] | None) -> tuple[Node, ...]:
        """Nodes of some types in graph order; of any type for None."""
        if types is None:
            return self.nodes
        places = [place for op in types for place in self._by_type.get(op, ())]
        return tuple(node for _, node in sorted(places, key=lambda place: place[0]))

    @cached_property
    def _order(self) -> Mapping[str, int]:
        return {node.name: index for index, node in enumerate(self.nodes)}

    def order(self, node: Node) -> int:
        """The place of a node in graph order."""
        return self._order[node.name]

    def producer(self, tensor: str) -> Node | None:
        """The node that makes the tensor; None for graph inputs and initializers."""
        return self._producers.get(tensor)

    def consumers(self, tensor: str) -> tuple[Edge, ...]:
        """Every use of the tensor by a node, in node order."""
        return self._consumers.get(tensor, ())

    def tensor(self, edge: Edge) -> str:
        """The tensor that an edge reads."""
        return self.by_name[edge.node].inputs[edge.slot]

    def home(self, tensor: str) -> Scope:
        """The scope whose graph makes, takes or stores a tensor."""
        return self._homes.get(tensor, ())

    def around(self, node: Node) -> tuple[Node, ...]:
        """The If, Loop and Scan nodes around a node, from outside in."""
        depths = range(1, len(node.scope) + 1)
        return tuple(self.by_name[owner(node.scope[:depth])] for depth in depths)

    def is_constant(self, tensor: str) -> bool:
        """True for what is stored in the model, or computed from that alone."""
        return tensor in self._constants

    def is_stored(self, tensor: str) -> bool:
        """True for an initializer and for the value of a Constant node."""
        return tensor in self._constants.stored()

    def array(self, tensor: str) -> NDArray[Any]:
        """Values of a constant."""
        return self._constants.array(tensor)

    def type(self, tensor: str) -> TensorType:
        """Element type and shape of any tensor, as far as shape inference knows them."""
        return self._types.get(tensor, _UNKNOWN)


def _hidden_ops(model: onnx.ModelProto) -> Iterator[str]:
    """Types of the nodes that rules do not see: in local functions, and in subgraphs of others."""
    for _, node in nodes(model.graph):
        if not any(True for _ in bodies(node)):
            for _, graph in subgraphs(node):
                yield from map(type_of, all_nodes(graph.node))
    for function in model.functions:
        yield from map(type_of, all_nodes(function.node))


def declares(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> bool:
    """True when the inputs of a model have these shapes without being told."""
    declared = {i.name: _tensor_type(i.type.tensor_type).shape for i in model.graph.input}
    return all(declared.get(name) == tuple(shape) for name, shape in shapes.items())


def infer_types(
    model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]
) -> tuple[dict[str, TensorType], str]:
    """Element types and shapes of inputs, outputs and inner values, by onnx's shape inference.

    Those in bodies of If, Loop and Scan are among them. Also returns why onnx gave up, or ''. Then
    the types are those that the file itself declares. An op that onnx does not know, or that
    contradicts an annotation, is no reason: onnx goes on without its types.
    """
    source = weights.light(model)
    if shapes:
        _set_input_shapes(source, shapes)
    problem = ""
    try:
        inferred = onnx.shape_inference.infer_shapes(source, data_prop=True)
    except _REFUSALS as reason:
        inferred, problem = source, first_line(reason)
    types: dict[str, TensorType] = {}
    for _, graph in scopes(inferred.graph):
        values = (*graph.value_info, *graph.input, *graph.output)
        types = {v.name: _tensor_type(v.type.tensor_type) for v in values} | types
    return types, problem


def _set_input_shapes(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> None:
    """Give inputs their shapes, in place; what the file says of other shapes may be wrong then."""
    for _, graph in scopes(model.graph):
        del graph.value_info[:]
    for value in model.graph.input:
        if value.name in shapes:
            value.type.tensor_type.shape.Clear()
            for size in shapes[value.name]:
                value.type.tensor_type.shape.dim.add(dim_value=size)
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def _tensor_type(proto: onnx.TypeProto.Tensor) -> TensorType:
    if not proto.HasField("shape"):
        return TensorType(dtype=proto.elem_type)
    dims = (
        d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in proto.shape.dim
    )
    return TensorType(dtype=proto.elem_type, shape=tuple(dims))


def _node(proto: onnx.NodeProto, scope: Scope) -> Node:
    return Node(
        name=proto.name,
        type=type_of(proto),
        op=proto.op_type,
        domain=domain_of(proto.domain),
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        attributes=MappingProxyType({a.name: attribute_value(a) for a in proto.attribute}),
        scope=scope,
    )


def attribute_value(proto: onnx.AttributeProto) -> Any:
    """An attribute's value, floats as the shortest decimals: the stored 0.1 reads 0.1 again."""
    value = helper.get_attribute_value(proto)
    if proto.type == onnx.AttributeProto.FLOAT:
        return float(str(np.float32(value)))
    if proto.type == onnx.AttributeProto.FLOATS:
        return [float(str(np.float32(v))) for v in value]
    return value
