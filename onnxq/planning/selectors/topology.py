"""Predicates on where a node stands, and the ways to combine matches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from pydantic import BaseModel

from onnxq.diagnostics import did_you_mean
from onnxq.model.graph import Graph, Node
from onnxq.planning.selectors.base import (
    Binding,
    InvalidMatchError,
    Matched,
    Miss,
    NodeTest,
    Predicate,
    Search,
    Selector,
    compile_match,
    compile_nested,
    each,
    first_miss,
    joined,
    predicate,
)

Steps = Callable[[Graph], Mapping[str, tuple[Node, ...]]]


def producers(graph: Graph) -> Mapping[str, tuple[Node, ...]]:
    """One step against the flow of data."""
    return graph.predecessors


def consumers(graph: Graph) -> Mapping[str, tuple[Node, ...]]:
    """One step with the flow of data."""
    return graph.successors


class _StandsSomewhere(NodeTest):
    """The node is one of a set that is computed once for a graph."""

    miss_text: str

    def __init__(self) -> None:
        self._cached: tuple[Graph, frozenset[str]] | None = None

    def _names(self, search: Search) -> frozenset[str]:
        """Names of all nodes at which the test holds."""
        raise NotImplementedError

    def holds(self, search: Search, node: Node) -> bool:
        """Whether the node is in the set."""
        if self._cached is None or self._cached[0] is not search.graph:
            self._cached = (search.graph, self._names(search))
        return node.name in self._cached[1]

    def reason(self, search: Search, node: Node) -> str:
        """Where the node does not stand."""
        return self.miss_text


def _neighbours(search: Search, selector: Selector, steps: Steps) -> frozenset[str]:
    """Names of the nodes one step away from those selected."""
    near = steps(search.graph)
    return frozenset(n.name for node, _ in selector.select_within(search) for n in near[node.name])


def _reachable(search: Search, selector: Selector, steps: Steps) -> frozenset[str]:
    """Names of the nodes one or more steps away from those selected."""
    near = steps(search.graph)
    waiting = [node.name for node, _ in selector.select_within(search)]
    reached: set[str] = set()
    while waiting:
        new = {n.name for n in near[waiting.pop()]} - reached
        reached |= new
        waiting += new
    return frozenset(reached)


_NOWHERE: Final = "none"
_ANYWHERE: Final = "any"
_AROUND: Final = ("If", "Loop", "Scan", _ANYWHERE, _NOWHERE)


@predicate("inside", str | list[str])
class IsInside(NodeTest):
    """It stands in a body of one of these, at any depth: `If`, `Loop`, `Scan`, `any` or `none`."""

    def __init__(self, value: str | list[str]) -> None:
        self._wanted = frozenset(each(value, _around))

    def holds(self, search: Search, node: Node) -> bool:
        """Whether one of the ops around it is listed."""
        around = {n.op for n in search.graph.around(node)}
        around |= {_ANYWHERE} if around else {_NOWHERE}
        return not self._wanted.isdisjoint(around)

    def reason(self, search: Search, node: Node) -> str:
        """Where it stands."""
        around = search.graph.around(node)
        return f"it is inside {around[-1].op} '{around[-1].name}'" if around else "it is in no body"


def _around(value: str) -> str:
    if value not in _AROUND:
        fix = did_you_mean(value, set(_AROUND), otherwise=f"use one of: {', '.join(_AROUND)}")
        raise InvalidMatchError(f"'{value}' is not an op with bodies", fix=fix)
    return value


@predicate("producer", "MatchSpec")
class HasProducer(_StandsSomewhere):
    """A node that makes one of its inputs matches this."""

    miss_text = "no producer of its inputs matches"

    def __init__(self, value: BaseModel) -> None:
        super().__init__()
        self._selector = compile_match(value)

    def _names(self, search: Search) -> frozenset[str]:
        return _neighbours(search, self._selector, consumers)


@predicate("consumer", "MatchSpec")
class HasConsumer(_StandsSomewhere):
    """A node that reads one of its outputs matches this."""

    miss_text = "no consumer of its outputs matches"

    def __init__(self, value: BaseModel) -> None:
        super().__init__()
        self._selector = compile_match(value)

    def _names(self, search: Search) -> frozenset[str]:
        return _neighbours(search, self._selector, producers)


@predicate("after", "MatchSpec")
class IsAfter(_StandsSomewhere):
    """A node that it is computed from, at any distance, matches this."""

    miss_text = "it does not come after a match"

    def __init__(self, value: BaseModel) -> None:
        super().__init__()
        self._selector = compile_match(value)

    def _names(self, search: Search) -> frozenset[str]:
        return _reachable(search, self._selector, consumers)


@predicate("before", "MatchSpec")
class IsBefore(_StandsSomewhere):
    """A node that is computed from it, at any distance, matches this."""

    miss_text = "it does not come before a match"

    def __init__(self, value: BaseModel) -> None:
        super().__init__()
        self._selector = compile_match(value)

    def _names(self, search: Search) -> frozenset[str]:
        return _reachable(search, self._selector, producers)


@predicate("between", "list[MatchSpec]")
class IsBetween(_StandsSomewhere):
    """It comes after a node of the first and before a node of the second of two matches."""

    miss_text = "it is not between the two matches"

    def __init__(self, value: list[BaseModel]) -> None:
        super().__init__()
        if len(value) != 2:
            raise InvalidMatchError(
                f"'between' takes two matches, not {len(value)}",
                fix="give what it comes after, then what it comes before",
            )
        self._first, self._second = compile_nested(value)

    def _names(self, search: Search) -> frozenset[str]:
        after = _reachable(search, self._first, consumers)
        return after & _reachable(search, self._second, producers)


@predicate("all", "list[MatchSpec]")
class AllOf(Predicate):
    """Every match of the list holds, with one tensor for each name."""

    def __init__(self, value: list[BaseModel]) -> None:
        self._selectors = compile_nested(value)
        _refuse_position(value)

    def op_types(self) -> frozenset[str] | None:
        """Types that every one of them allows."""
        restrictions = [types for s in self._selectors if (types := s.op_types()) is not None]
        return frozenset.intersection(*restrictions) if restrictions else None

    def names(self) -> frozenset[str]:
        """Names that any of them binds."""
        return frozenset().union(*(s.names() for s in self._selectors))

    def choices(
        self, search: Search, node: Node, bindings: list[Binding]
    ) -> Iterator[list[Binding]]:
        """The choices of all matches together."""
        return joined(self._selectors, search, node, bindings)

    def miss(self, search: Search, node: Node, bindings: list[Binding]) -> Miss:
        """The first that does not hold together with those before it."""
        miss = first_miss(self._selectors, search, node, bindings)
        return miss or Miss(depth=0, text="")


@predicate("any", "list[MatchSpec]")
class AnyOf(Predicate):
    """At least one match of the list holds; the first that fits the rest binds the names."""

    def __init__(self, value: list[BaseModel]) -> None:
        self._selectors = compile_nested(value)
        _refuse_position(value)

    def op_types(self) -> frozenset[str] | None:
        """Types that one of them allows."""
        types = [s.op_types() for s in self._selectors]
        restrictions = [t for t in types if t is not None]
        return frozenset().union(*restrictions) if len(restrictions) == len(types) else None

    def names(self) -> frozenset[str]:
        """Names that all of them bind."""
        return frozenset.intersection(*(s.names() for s in self._selectors))

    def choices(
        self, search: Search, node: Node, bindings: list[Binding]
    ) -> Iterator[list[Binding]]:
        """The choices of each match that holds."""
        for selector in self._selectors:
            for extended in selector.choices(search, node, bindings):
                yield extended
                if extended == bindings:  # it binds nothing: another match changes nothing
                    return

    def miss(self, search: Search, node: Node, bindings: list[Binding]) -> Miss:
        """The nearest miss of them."""
        misses = (s.miss(search, node, bindings) for s in self._selectors)
        return max(miss for miss in misses if miss is not None)


@predicate("not", "MatchSpec")
class NotThis(NodeTest):
    """The match does not hold. Its names are its own."""

    def __init__(self, value: BaseModel) -> None:
        self._selector = compile_match(value)
        _refuse_position(value)

    def holds(self, search: Search, node: Node) -> bool:
        """Whether the match does not hold."""
        return not self._selector.ways(search, node)

    def reason(self, search: Search, node: Node) -> str:
        """What holds."""
        return "it matches what 'not' excludes"


def _refuse_position(value: BaseModel | list[BaseModel]) -> None:
    """Refuse `position`, which ranks whole matches, where there is only a part of one."""

    def check(spec: BaseModel) -> None:
        if getattr(spec, "position", None) is not None:
            raise InvalidMatchError(
                "'position' ranks whole matches and cannot stand inside all, any or not",
                fix="put it beside them",
                path=("position",),
            )

    each(value, check)


_SLICE: Final = re.compile(r"(-?[0-9]{1,9})?:(-?[0-9]{1,9})?")


@predicate("position", int | str)
class AtPosition(NodeTest):
    """Rank, in graph order, among what the rest of the match selects.

    `first`, `last`, an index such as `0` or `-1`, or a slice such as `"0:3"`.
    """

    def __init__(self, value: int | str) -> None:
        self._slice = _slice(value)

    def holds(self, search: Search, node: Node) -> bool:
        """Always: `pick` decides."""
        return True

    def pick(self, matches: list[Matched]) -> list[Matched]:
        """The matches at the positions."""
        return matches[self._slice]


def _slice(value: int | str) -> slice:
    value = {"first": 0, "last": -1}.get(value, value) if isinstance(value, str) else value
    if isinstance(value, int):
        return slice(value, value + 1 or None)
    if bounds := _SLICE.fullmatch(value):
        first, last = (int(text) if text else None for text in bounds.groups())
        return slice(first, last)
    raise InvalidMatchError(
        f"'{value}' is not a position",
        fix="use first, last, an index such as 0 or -1, or a slice such as '0:3'",
    )
