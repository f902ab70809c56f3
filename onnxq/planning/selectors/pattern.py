"""The `pattern` predicate: an expression over a node and its producers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from onnxq.model.graph import Edge, Graph, Node
from onnxq.model.node_inputs import attribute
from onnxq.model.ops import traits
from onnxq.planning.selectors.base import (
    Binding,
    Bound,
    Miss,
    Predicate,
    Search,
    distinct,
    each,
    predicate,
)
from onnxq.planning.selectors.condition import plain, shown
from onnxq.planning.selectors.pattern_syntax import (
    ANYTHING,
    Call,
    Either,
    Rest,
    Term,
    Value,
    parse,
    variables,
)

_ANONYMOUS: Final = ("", ANYTHING)


@predicate("pattern", str | list[str])
class Pattern(Predicate):
    """The node is the root of this expression over ops, such as `Add(Conv(...), skip)`."""

    def __init__(self, value: str | list[str]) -> None:
        self._roots = tuple(call for calls in each(value, parse) for call in calls)

    def op_types(self) -> frozenset[str] | None:
        """The ops of the roots."""
        return frozenset().union(*(r.ops for r in self._roots))

    def names(self) -> frozenset[str]:
        """Names that every alternative binds."""
        return frozenset.intersection(*(variables(r) for r in self._roots))

    def choices(
        self, search: Search, node: Node, bindings: list[Binding]
    ) -> Iterator[list[Binding]]:
        """The bindings of each alternative that matches."""
        matcher = _Matcher(search)
        for root in self._roots:
            ways = [way for bound in bindings for way in matcher.root(root, node, bound)]
            if ways:
                extended = distinct(ways)
                yield extended
                if extended == bindings:  # it binds nothing: another alternative changes nothing
                    return

    def miss(self, search: Search, node: Node, bindings: list[Binding]) -> Miss:
        """The furthest point that any alternative reached."""
        matcher = _Matcher(search, explain=True)
        for root in self._roots:
            for bound in bindings:
                matcher.root(root, node, bound)
        return matcher.furthest or Miss(depth=0, text="the pattern does not match")


@dataclass(slots=True)
class _Matcher:
    """Matches terms on one graph; with `explain`, `furthest` is the furthest failure.

    Every method returns all bindings that extend `bound`.
    """

    search: Search
    explain: bool = False
    furthest: Miss | None = None
    graph: Graph = field(init=False)

    def __post_init__(self) -> None:
        self.graph = self.search.graph

    def root(self, call: Call, node: Node, bound: Binding) -> list[Binding]:
        self.search.step(node)
        if node.type not in call.ops:
            return []
        tensors = tuple(filter(None, node.outputs[:1]))
        edges = tuple(edge for tensor in tensors for edge in self.graph.consumers(tensor))
        return [
            binding
            for named in self._bind(call.name, Bound(tensors=tensors, edges=edges), node, bound, 0)
            for binding in self._call(call, node, named, 0)
        ]

    def _missed(self, depth: int, text: str) -> list[Binding]:
        if self.explain:
            miss = Miss(depth=depth, text=text)
            self.furthest = max(self.furthest or miss, miss)
        return []

    def _term(self, term: Term, node: Node, slot: int, bound: Binding, depth: int) -> list[Binding]:
        self.search.step(node)
        tensor = node.inputs[slot]
        if isinstance(term, Value):
            return self._bind_inputs(term.name, node, [slot], bound, depth)
        if isinstance(term, Call):
            producer = self.graph.producer(tensor)
            if producer is None:
                return self._missed(depth, f"{_input(node, slot)} is made by no op")
            if producer.type not in term.ops:
                wanted = " or ".join(sorted(term.ops))
                return self._missed(depth, f"{_input(node, slot)} is {producer.type}, not {wanted}")
            return [
                binding
                for named in self._bind_inputs(term.name, node, [slot], bound, depth)
                for binding in self._call(term, producer, named, depth + 1)
            ]
        if isinstance(term, Either):
            options = (self._term(option, node, slot, bound, depth) for option in term.options)
            return [binding for bindings in options for binding in bindings]
        if self.graph.is_constant(tensor):
            return self._bind_inputs(term.name, node, [slot], bound, depth)
        return self._missed(depth, f"{_input(node, slot)} is not a constant")

    def _bind_inputs(
        self, name: str, node: Node, slots: list[int], bound: Binding, depth: int
    ) -> list[Binding]:
        if name in _ANONYMOUS:
            return [bound]
        tensors = tuple(node.inputs[s] for s in slots)
        edges = tuple(Edge(node=node.name, slot=s) for s in slots)
        return self._bind(name, Bound(tensors=tensors, edges=edges), node, bound, depth)

    def _bind(
        self, name: str, value: Bound, node: Node, bound: Binding, depth: int
    ) -> list[Binding]:
        if name in _ANONYMOUS:
            return [bound]
        if (before := bound.get(name)) is not None:
            if before.tensors != value.tensors:
                here, there = (" and ".join(b.tensors) or "nothing" for b in (value, before))
                return self._missed(
                    depth, f"'{name}' would be {here} at {_op(node)} and is {there} elsewhere"
                )
            edges = tuple(sorted({*before.edges, *value.edges}))
            value = Bound(tensors=value.tensors, edges=edges)
        return [{**bound, name: value}]

    def _call(self, call: Call, node: Node, bound: Binding, depth: int) -> list[Binding]:
        for name, wanted in call.attributes:
            if plain(value := attribute(node, name)) != plain(wanted):
                have = "missing" if value is None else shown(value)
                return self._missed(depth, f"{name} of {_op(node)} is {have}, not {wanted}")
        return [bound] if call.inputs is None else self._inputs(call.inputs, node, bound, depth)

    def _inputs(
        self, terms: tuple[Term, ...], node: Node, bound: Binding, depth: int
    ) -> list[Binding]:
        """Match terms to input slots in order; the first two may change places if commutative."""
        slots = [s for s, name in enumerate(node.inputs) if name]
        rest = terms[-1] if terms and isinstance(terms[-1], Rest) else None
        fixed = terms[:-1] if rest is not None else terms
        if len(slots) < len(fixed):
            return self._missed(depth, f"{_op(node)} has only {len(slots)} inputs")
        if rest is None and len(slots) > len(fixed):
            return self._missed(depth, f"{_op(node)} has more inputs; end with '...'")
        orders = [slots]
        if traits(node).commutative and len(slots) > 1 and fixed:
            orders.append([slots[1], slots[0], *slots[2:]])
        return [
            binding
            for order in orders
            for binding in self._in_order(fixed, rest, node, order, bound, depth)
        ]

    def _in_order(
        self,
        fixed: tuple[Term, ...],
        rest: Rest | None,
        node: Node,
        slots: list[int],
        bound: Binding,
        depth: int,
    ) -> list[Binding]:
        bindings = [bound]
        for count, (term, slot) in enumerate(zip(fixed, slots, strict=False)):
            bindings = [
                extended
                for binding in bindings
                for extended in self._term(term, node, slot, binding, depth + count)
            ]
            if not bindings:
                return []
        if rest is None or rest.name in _ANONYMOUS:
            return bindings
        further = slots[len(fixed) :]
        return [
            extended
            for binding in bindings
            for extended in self._bind_inputs(rest.name, node, further, binding, depth)
        ]


def _op(node: Node) -> str:
    return f"{node.op} '{node.name}'"


def _input(node: Node, slot: int) -> str:
    return f"input {slot} of '{node.name}'"
