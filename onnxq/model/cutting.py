"""A model cut in front of nodes that something cannot run.

One place for all who run parts of a model: calibration and comparison, where onnxruntime has no
kernel for an op, and compilation, where the compiler has no plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import onnx

from onnxq.model.graph import TensorType, infer_types
from onnxq.model.pruning import drop_unread
from onnxq.model.scopes import all_nodes, defined, read_names, scopes, subgraphs

Unknown = Callable[[onnx.NodeProto], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """A node in front of which a model is cut.

    `inside` is the op that cannot be run where that is not the node itself, but in a subgraph of it
    or in the function that it calls; else ''.
    """

    node: str
    op: str
    inside: str = ""

    def __str__(self) -> str:
        inside = f"{self.inside} in " if self.inside else ""
        return f"{inside}{self.op} '{self.node}'"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cut:
    """What is left of a model without some nodes and without all that is computed from them.

    `model` has the outputs that are left and, in place of the others, the last tensors that are
    computed in front of the cut: `stand_ins` has these by lost output. `behind` maps the values
    that are lost to the node that they are lost by, and `nodes` are the nodes that are gone.
    """

    model: onnx.ModelProto
    culprits: tuple[Culprit, ...]
    behind: Mapping[str, Culprit]
    nodes: Mapping[str, Culprit]
    stand_ins: Mapping[str, tuple[str, ...]]


def cut(model: onnx.ModelProto, is_unknown: Unknown) -> Cut | None:
    """Cut a model in front of the nodes that are unknown; None when there are none.

    The model is not changed. An If, Loop or Scan with such a node in a body goes as a whole, and so
    does the call of a function with one.
    """
    parts = _Parts(model, is_unknown)
    if not parts.removed:
        return None
    left = _without(model, parts)
    types, _ = infer_types(left, {})
    lost = [o.name for o in model.graph.output if o.name in parts.behind]
    stand_ins = {name: _floats(parts.in_front_of(name), types) for name in lost}
    kept = [o for o in left.graph.output if o.name not in parts.behind]
    names = dict.fromkeys(tensor for tensors in stand_ins.values() for tensor in tensors)
    del left.graph.output[:]
    left.graph.output.extend(kept)
    have = {o.name for o in kept}
    left.graph.output.extend(_value(n, types.get(n)) for n in names if n not in have)
    drop_unread(left.graph, parts.operands - {i.name for i in model.graph.input})
    return Cut(
        model=left,
        culprits=tuple(dict.fromkeys(parts.culprits.values())),
        behind=parts.behind,
        nodes=parts.names,
        stand_ins=stand_ins,
    )


class _Parts:
    """The nodes of a graph on both sides of the cut, by their place in it."""

    def __init__(self, model: onnx.ModelProto, is_unknown: Unknown) -> None:
        self._functions = {(f.domain, f.name): f for f in model.functions}
        self._nodes = tuple(model.graph.node)
        self._reads = [read_names([node]) for node in self._nodes]
        self.culprits = dict(self._culprits(is_unknown))
        self.behind: dict[str, Culprit] = {}
        self.removed: dict[int, Culprit] = {}
        pending = list(range(len(self._nodes)))
        while self.culprits and (rest := self._remove(pending)) != pending:
            pending = rest
        self.operands = {name for place in self.removed for name in self._reads[place]}
        self._makers = {o: place for place in self.removed for o in self._nodes[place].output if o}
        self._computed = self._computed_from_inputs(model.graph, pending)

    @property
    def names(self) -> Mapping[str, Culprit]:
        """The nodes that go, each with the node that it goes for."""
        return {self._nodes[place].name: culprit for place, culprit in self.removed.items()}

    def _culprits(self, is_unknown: Unknown) -> Iterator[tuple[int, Culprit]]:
        for place, node in enumerate(self._nodes):
            inside = next((n.op_type for n in self._inner(node, ()) if is_unknown(n)), "")
            called = (node.domain, node.op_type) in self._functions
            if inside or (not called and is_unknown(node)):
                yield place, Culprit(node=node.name, op=node.op_type, inside=inside)

    def _inner(
        self, node: onnx.NodeProto, calls: tuple[tuple[str, str], ...]
    ) -> Iterator[onnx.NodeProto]:
        """The nodes in the subgraphs of a node and in the function that it calls, but no calls."""
        key = (node.domain, node.op_type)
        function = self._functions.get(key) if key not in calls else None
        bodies = [graph.node for _, graph in subgraphs(node)]
        bodies += [] if function is None else [function.node]
        for inner in (n for body in bodies for n in all_nodes(body)):
            if (inner.domain, inner.op_type) in self._functions:
                yield from self._inner(inner, (*calls, key))
            else:
                yield inner

    def _remove(self, places: list[int]) -> list[int]:
        """Move what cannot be run to `removed`; return the rest. Nodes may be in any order."""
        rest = []
        for place in places:
            lost = (self.behind[n] for n in self._reads[place] if n in self.behind)
            culprit = self.culprits.get(place) or next(lost, None)
            if culprit is None:
                rest.append(place)
                continue
            node = self._nodes[place]
            self.removed[place] = culprit
            inner = (n for _, body in subgraphs(node) for _, g in scopes(body) for n in defined(g))
            self.behind.update(dict.fromkeys((*filter(None, node.output), *inner), culprit))
        return rest

    def _computed_from_inputs(self, graph: onnx.GraphProto, places: list[int]) -> set[str]:
        """Values of the nodes that stay which depend on an input of the graph."""
        inputs = {i.name for i in graph.input} - {t.name for t in graph.initializer}
        known = set(inputs)
        pending: list[int] = []
        while pending != places:
            pending, places = places, []
            for place in pending:
                if known.isdisjoint(self._reads[place]):
                    places.append(place)
                else:
                    known.update(filter(None, self._nodes[place].output))
        return known - inputs

    def in_front_of(self, output: str) -> tuple[str, ...]:
        """The last computed values in front of a lost one, in the order of their readers."""
        last: dict[str, None] = {}
        visited = {output}
        pending = [output]
        while pending:
            place = self._makers[pending.pop(0)]
            for name in sorted(self._reads[place], key=_order_in(self._nodes[place])):
                if name in self._computed:
                    last[name] = None
                elif name in self._makers and name not in visited:
                    visited.add(name)
                    pending.append(name)
        return tuple(last)


def _order_in(node: onnx.NodeProto) -> Callable[[str], tuple[int, str]]:
    """Inputs in their order, then what only subgraphs read."""
    places = {name: place for place, name in reversed(list(enumerate(node.input)))}
    return lambda name: (places.get(name, len(places)), name)


def _without(model: onnx.ModelProto, parts: _Parts) -> onnx.ModelProto:
    """A copy of the model without the nodes that are removed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes = [n for place, n in enumerate(copy.graph.node) if place not in parts.removed]
    kept = [value for value in copy.graph.value_info if value.name not in parts.behind]
    del copy.graph.node[:], copy.graph.value_info[:]
    copy.graph.node.extend(nodes)
    copy.graph.value_info.extend(kept)
    return copy


def _floats(tensors: tuple[str, ...], types: Mapping[str, TensorType]) -> tuple[str, ...]:
    """The tensors that hold floats, as far as is known: sizes say nothing; all without any."""
    floats = tuple(t for t in tensors if t not in types or types[t].may_be_float)
    return floats or tensors


def _value(name: str, kind: TensorType | None) -> onnx.ValueInfoProto:
    if kind is None or not kind.dtype:
        return onnx.ValueInfoProto(name=name)
    return onnx.helper.make_tensor_value_info(name, kind.dtype, kind.shape)
