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
    Selector,
    compile_match,
    compile_nested,
    each,
    predicate,
)

Steps = Callable[[Graph], Mapping[str, tuple[Node, ...]]]


def producers(graph: Graph) -> Mapping[str, tuple[Node, ...]]:
    """One step against the flow of data."""
    return graph.predecessors


def consumers(graph: Graph) -> Mapping[str, tuple[Node, ...]]:
    """One step with the flow of data."""
    return graph.successors


class _Somewhere(NodeTest):
    """The node is one of a set that is found once for a graph."""

    told: str

    def __init__(self) -> None:
        self._found: tuple[Graph, frozenset[str]] | None = None

    def _nodes(self, graph: Graph) -> frozenset[str]:
        raise NotImplementedError

    def holds(self, graph: Graph, node: Node) -> bool:
        """Whether the node is in the set."""
        if self._found is None or self._found[0] is not graph:
            self._found = (graph, self._nodes(graph))
        return node.name in self._found[1]

    def miss(self, graph: Graph, node: Node) -> Miss:
        """Where it does not stand."""
        return Miss(depth=0, text=self.told)


def _neighbours(graph: Graph, selector: Selector, steps: Steps) -> frozenset[str]:
    """Names of the nodes one step away from those selected."""
    near = steps(graph)
    return frozenset(n.name for node, _ in selector.select(graph) for n in near[node.name])


def _reachable(graph: Graph, selector: Selector, steps: Steps) -> frozenset[str]:
    """Names of the nodes one or more steps away from those selected."""
    near = steps(graph)
    waiting = [node.name for node, _ in selector.select(graph)]
    seen: set[str] = set()
    while waiting:
        new = {n.name for n in near[waiting.pop()]} - seen
        seen |= new
        waiting += new
    return frozenset(seen)


_NOWHERE: Final = "none"
_ANYWHERE: Final = "any"
_AROUND: Final = ("If", "Loop", "Scan", _ANYWHERE, _NOWHERE)


@predicate("inside", str | list[str])
class IsInside(NodeTest):
    """It stands in a body of one of these, at any depth: `If`, `Loop`, `Scan`, `any` or `none`."""

    def __init__(self, value: str | list[str]) -> None:
        self._wanted = frozenset(each(value, _around))

    def holds(self, graph: Graph, node: Node) -> bool:
        """Whether one of the ops around it is listed."""
        around = {n.op for n in graph.around(node)}
        around |= {_ANYWHERE} if around else {_NOWHERE}
        return not self._wanted.isdisjoint(around)

    def miss(self, graph: Graph, node: Node) -> Miss:
        """Where it stands."""
        around = graph.around(node)
        where = f"inside {around[-1].op} '{around[-1].name}'" if around else "in no body"
        return Miss(depth=0, text=f"it is {where}")


def _around(value: str) -> str:
    if value not in _AROUND:
        fix = did_you_mean(value, set(_AROUND), otherwise=f"use one of: {', '.join(_AROUND)}")
        raise InvalidMatchError(f"nothing stands inside '{value}'", fix=fix)
    return value


@predicate("producer", "MatchSpec")
class HasProducer(_Somewhere):
    """A node that makes one of its inputs matches this."""

    told = "no producer of its inputs matches"

    def __init__(self, value: BaseModel) -> None:
        super().__init__()
        self._selector = compile_match(value)

    def _nodes(self, graph: Graph) -> frozenset[str]:
        return _neighbours(graph, self._selector, consumers)


@predicate("consumer", "MatchSpec")
class HasConsumer(_Somewhere):
    """A node that reads one of its outputs matches this."""

    told = "no consumer of its outputs matches"

    def __init__(self, value: BaseModel) -> None:
        super().__init__()
        self._selector = compile_match(value)

    def _nodes(self, graph: Graph) -> frozenset[str]:
        return _neighbours(graph, self._selector, producers)


@predicate("after", "MatchSpec")
class IsAfter(_Somewhere):
    """Something that it is computed from, at any distance, matches this."""

    told = "it does not come after a match"

    def __init__(self, value: BaseModel) -> None:
        super().__init__()
        self._selector = compile_match(value)

    def _nodes(self, graph: Graph) -> frozenset[str]:
        return _reachable(graph, self._selector, consumers)


@predicate("before", "MatchSpec")
class IsBefore(_Somewhere):
    """Something that is computed from it, at any distance, matches this."""

    told = "it does not come before a match"

    def __init__(self, value: BaseModel) -> None:
        super().__init__()
        self._selector = compile_match(value)

    def _nodes(self, graph: Graph) -> frozenset[str]:
        return _reachable(graph, self._selector, producers)


@predicate("between", "list[MatchSpec]")
class IsBetween(_Somewhere):
    """It comes after a match of the first and before a match of the second of two matches."""

    told = "it is not between the two matches"

    def __init__(self, value: list[BaseModel]) -> None:
        super().__init__()
        if len(value) != 2:
            raise InvalidMatchError(
                f"'between' takes two matches, not {len(value)}",
                fix="give what it comes after, then what it comes before",
            )
        self._first, self._second = compile_nested(value)

    def _nodes(self, graph: Graph) -> frozenset[str]:
        after = _reachable(graph, self._first, consumers)
        return after & _reachable(graph, self._second, producers)


@predicate("all", "list[MatchSpec]")
class AllOf(Predicate):
    """Every match of the list holds."""

    def __init__(self, value: list[BaseModel]) -> None:
        self._selectors = compile_nested(value)
        _refuse_position(value)

    def names(self) -> frozenset[str]:
        """Names that any of them binds."""
        return frozenset().union(*(s.names() for s in self._selectors))

    def matches(self, graph: Graph, node: Node) -> Iterator[Binding]:
        """Every combination of their bindings."""
        found: list[Binding] = [{}]
        for selector in self._selectors:
            found = [{**one, **more} for one in found for more in selector.matches(graph, node)]
        return iter(found)

    def miss(self, graph: Graph, node: Node) -> Miss:
        """The first that does not hold."""
        misses = (s.miss(graph, node) for s in self._selectors)
        return next((m for m in misses if m is not None), Miss(depth=0, text=""))


@predicate("any", "list[MatchSpec]")
class AnyOf(Predicate):
    """At least one match of the list holds; the first that does binds the names."""

    def __init__(self, value: list[BaseModel]) -> None:
        self._selectors = compile_nested(value)
        _refuse_position(value)

    def op_types(self) -> frozenset[str] | None:
        """Types that one of them allows."""
        types = [s.op_types() for s in self._selectors]
        known = [t for t in types if t is not None]
        return frozenset().union(*known) if len(known) == len(types) else None

    def names(self) -> frozenset[str]:
        """Names that all of them bind."""
        return frozenset.intersection(*(s.names() for s in self._selectors))

    def matches(self, graph: Graph, node: Node) -> Iterator[Binding]:
        """The bindings of the first that matches."""
        for selector in self._selectors:
            if found := selector.matches(graph, node):
                return iter(found)
        return iter(())

    def miss(self, graph: Graph, node: Node) -> Miss:
        """The nearest miss of them."""
        return max(m for s in self._selectors if (m := s.miss(graph, node)) is not None)


@predicate("not", "MatchSpec")
class NotThis(NodeTest):
    """The match does not hold."""

    def __init__(self, value: BaseModel) -> None:
        self._selector = compile_match(value)
        _refuse_position(value)

    def holds(self, graph: Graph, node: Node) -> bool:
        """Whether the match does not hold."""
        return not self._selector.matches(graph, node)

    def miss(self, graph: Graph, node: Node) -> Miss:
        """What held."""
        return Miss(depth=0, text="it is what 'not' rules out")


def _refuse_position(value: BaseModel | list[BaseModel]) -> None:
    """Refuse `position`, which ranks whole matches, where there is only a part of one."""

    def read(spec: BaseModel) -> None:
        if getattr(spec, "position", None) is not None:
            raise InvalidMatchError(
                "'position' ranks whole matches and cannot stand inside all, any or not",
                fix="put it beside them",
                path=("position",),
            )

    each(value, read)


_SLICE: Final = re.compile(r"(-?[0-9]{1,9})?:(-?[0-9]{1,9})?")


@predicate("position", int | str)
class AtPosition(NodeTest):
    """Rank, in graph order, among what the rest of the match selects.

    `first`, `last`, an index such as `0` or `-1`, or a slice such as `"0:3"`.
    """

    def __init__(self, value: int | str) -> None:
        self._slice = _slice(value)

    def holds(self, graph: Graph, node: Node) -> bool:
        """Always: `pick` decides."""
        return True

    def pick(self, found: list[Matched]) -> list[Matched]:
        """The matches at the positions."""
        return found[self._slice]

    def miss(self, graph: Graph, node: Node) -> Miss:
        """Another position."""
        return Miss(depth=0, text="it is not at the position")


def _slice(value: int | str) -> slice:
    value = {"first": 0, "last": -1}.get(value, value) if isinstance(value, str) else value
    if isinstance(value, int):
        return slice(value, value + 1 or None)
    if found := _SLICE.fullmatch(value):
        first, last = (int(text) if text else None for text in found.groups())
        return slice(first, last)
    raise InvalidMatchError(
        f"'{value}' is not a position",
        fix="use first, last, an index such as 0 or -1, or a slice such as '0:3'",
    )
