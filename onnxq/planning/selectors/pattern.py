"""The `pattern` predicate: an expression over a node and its producers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from onnxq.model.graph import Edge, Graph, Node
from onnxq.model.node_inputs import attribute
from onnxq.model.ops import traits
from onnxq.planning.selectors.base import (
    Binding,
    Bound,
    Miss,
    Predicate,
    TooManyWaysError,
    each,
    predicate,
)
from onnxq.planning.selectors.condition import plain
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

    def matches(self, graph: Graph, node: Node) -> Iterator[Binding]:
        """Every binding, of the first alternative that matches."""
        for root in self._roots:
            if found := _Matcher(graph).root(root, node):
                yield from found
                return

    def miss(self, graph: Graph, node: Node) -> Miss:
        """The furthest point that any alternative reached."""
        matcher = _Matcher(graph, misses=[])
        for root in self._roots:
            matcher.root(root, node)
        return max(matcher.misses or [Miss(depth=0, text="the pattern does not match")])


_STEPS: Final = 50_000  # a real pattern takes some dozens


@dataclass(slots=True)
class _Matcher:
    """Matches terms on one graph; collects why branches failed when `misses` is a list.

    Every method returns all bindings that extend the one it is given.
    """

    graph: Graph
    misses: list[Miss] | None = None
    steps: int = 0

    def root(self, call: Call, node: Node) -> list[Binding]:
        named = {call.name: self._output(node)} if call.name else {}
        return self._call(call, node, named, 0)

    def _output(self, node: Node) -> Bound:
        return Bound(tensors=node.outputs[:1], edges=self.graph.consumers(node.outputs[0]))

    def _missed(self, depth: int, text: str) -> list[Binding]:
        if self.misses is not None:
            self.misses.append(Miss(depth=depth, text=text))
        return []

    def _term(self, term: Term, node: Node, slot: int, bound: Binding, depth: int) -> list[Binding]:
        tensor = node.inputs[slot]
        self.steps += 1
        if self.steps > _STEPS:
            raise TooManyWaysError(node.name)
        if isinstance(term, Value):
            return self._bind(term.name, node, slot, bound, depth)
        if isinstance(term, Call):
            producer = self.graph.producer(tensor)
            if producer is None:
                return self._missed(depth, f"{_input(node, slot)} is made by no op")
            if producer.type not in term.ops:
                wanted = " or ".join(sorted(term.ops))
                return self._missed(depth, f"{_input(node, slot)} is {producer.type}, not {wanted}")
            return [
                inner
                for named in self._bind(term.name or ANYTHING, node, slot, bound, depth)
                for inner in self._call(term, producer, named, depth + 1)
            ]
        if isinstance(term, Either):
            options = (self._term(option, node, slot, bound, depth) for option in term.options)
            return [inner for found in options for inner in found]
        if self.graph.is_constant(tensor):
            return self._bind(term.name or ANYTHING, node, slot, bound, depth)
        return self._missed(depth, f"{_input(node, slot)} is not a constant")

    def _bind(self, name: str, node: Node, slot: int, bound: Binding, depth: int) -> list[Binding]:
        if name == ANYTHING:
            return [bound]
        return self._bind_all(name, node, [slot], bound, depth)

    def _bind_all(
        self, name: str, node: Node, slots: list[int], bound: Binding, depth: int
    ) -> list[Binding]:
        tensors = tuple(node.inputs[s] for s in slots)
        edges = tuple(Edge(node=node.name, slot=s) for s in slots)
        if (before := bound.get(name)) is not None:
            if before.tensors != tensors:
                here, there = (" and ".join(t) or "nothing" for t in (tensors, before.tensors))
                return self._missed(
                    depth, f"{_told(node)} reads {here} where '{name}' is {there} already"
                )
            edges = tuple(sorted({*before.edges, *edges}))
        return [{**bound, name: Bound(tensors=tensors, edges=edges)}]

    def _call(self, call: Call, node: Node, bound: Binding, depth: int) -> list[Binding]:
        if node.type not in call.ops:
            return []
        for name, wanted in call.attributes:
            if plain(have := attribute(node, name)) != plain(wanted):
                return self._missed(depth, f"{name} of {_told(node)} is {have}, not {wanted}")
        return [bound] if call.inputs is None else self._inputs(call.inputs, node, bound, depth)

    def _inputs(
        self, terms: tuple[Term, ...], node: Node, bound: Binding, depth: int
    ) -> list[Binding]:
        """Match terms to input slots in order; the first two may change places if commutative."""
        slots = [s for s, name in enumerate(node.inputs) if name]
        rest = terms[-1] if terms and isinstance(terms[-1], Rest) else None
        fixed = terms[:-1] if rest is not None else terms
        if len(slots) < len(fixed):
            return self._missed(depth, f"{_told(node)} has only {len(slots)} inputs")
        if rest is None and len(slots) > len(fixed):
            return self._missed(depth, f"{_told(node)} has further inputs; end with '...'")
        orders = [slots]
        if traits(node).commutative and len(slots) > 1 and fixed:
            orders.append([slots[1], slots[0], *slots[2:]])
        return [
            one
            for order in orders
            for one in self._in_order(fixed, rest, node, order, bound, depth)
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
        found = [bound]
        for count, (term, slot) in enumerate(zip(fixed, slots, strict=False)):
            found = [
                more for one in found for more in self._term(term, node, slot, one, depth + count)
            ]
            if not found:
                return []
        if rest is None or rest.name in ("", ANYTHING):
            return found
        further = slots[len(fixed) :]
        return [
            more for one in found for more in self._bind_all(rest.name, node, further, one, depth)
        ]


def _told(node: Node) -> str:
    return f"{node.op} '{node.name}'"


def _input(node: Node, slot: int) -> str:
    return f"input {slot} of '{node.name}'"
