"""What every predicate is, and their conjunction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from onnxq.model.graph import Edge, Graph, Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a name of a rule stands for at one match: tensors, and the uses of them it covers."""

    tensors: tuple[str, ...]
    edges: tuple[Edge, ...]


Binding = Mapping[str, Bound]
Matched = tuple[Node, list[Binding]]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Miss:
    """Why a node does not match: `depth` counts what did, so that the deepest miss is nearest."""

    depth: int
    text: str


class Predicate:
    """One key of `match`, compiled. A subclass overrides `matches` and what else it needs.

    One that binds no names is a `NodeTest`.
    """

    def op_types(self) -> frozenset[str] | None:
        """Types of the nodes that can match at all; None for any. Makes planning fast."""
        return None

    def names(self) -> frozenset[str]:
        """Names that every match binds."""
        return frozenset()

    def matches(self, graph: Graph, node: Node) -> Iterator[Binding]:
        """Every way the predicate matches at a node."""
        raise NotImplementedError

    def pick(self, found: list[Matched]) -> list[Matched]:
        """Keep some of all that the whole match selects, in graph order."""
        return found

    def miss(self, graph: Graph, node: Node) -> Miss:
        """Why a node that `matches` refuses does not match."""
        raise NotImplementedError


class NodeTest(Predicate):
    """A predicate that binds nothing: it holds at a node or it does not."""

    def holds(self, graph: Graph, node: Node) -> bool:
        """Whether it holds."""
        raise NotImplementedError

    def matches(self, graph: Graph, node: Node) -> Iterator[Binding]:
        """One empty binding when it holds."""
        return iter(({},)) if self.holds(graph, node) else iter(())


class InvalidMatchError(ValueError):
    """A value of `match` that makes no sense, and what to do about it.

    `path` says where in the value, `offset` where in the text there.
    """

    def __init__(
        self, reason: str, *, fix: str, path: tuple[str | int, ...] = (), offset: int = 0
    ) -> None:
        super().__init__(reason)
        self.fix = fix
        self.path = path
        self.offset = offset

    def inside(self, *path: str | int) -> InvalidMatchError:
        """The same error, seen from further outside."""
        return InvalidMatchError(
            str(self), fix=self.fix, path=(*path, *self.path), offset=self.offset
        )


class TooManyWaysError(Exception):
    """A match has so many ways at one node that looking at all of them would not end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredicateType:
    """A registered key of `match`: the type of its YAML value, and how that is compiled.

    `compile` raises InvalidMatchError when the value makes no sense.
    """

    value: Any
    compile: Callable[[Any], Predicate]
    doc: str


PREDICATES: Final[dict[str, PredicateType]] = {}

P = TypeVar("P", bound=Callable[[Any], Predicate])
V = TypeVar("V")
R = TypeVar("R")


def predicate(key: str, value: Any) -> Callable[[P], P]:
    """Register a class or function under a key of `match` whose YAML value has type `value`.

    The text "MatchSpec" in `value` stands for a nested match.
    """

    def register(compile_: P) -> P:
        doc = (compile_.__doc__ or "").strip()
        PREDICATES[key] = PredicateType(value=value, compile=compile_, doc=doc)
        return compile_

    return register


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """The conjunction of the predicates of one match."""

    predicates: tuple[Predicate, ...] = field(repr=False)
    _tests: tuple[NodeTest, ...] = field(init=False, repr=False)
    _binders: tuple[Predicate, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        tests = tuple(p for p in self.predicates if isinstance(p, NodeTest))
        binders = tuple(p for p in self.predicates if not isinstance(p, NodeTest))
        object.__setattr__(self, "_tests", tests)
        object.__setattr__(self, "_binders", binders)

    def op_types(self) -> frozenset[str] | None:
        """Types that every predicate allows; None for any."""
        known = [types for p in self.predicates if (types := p.op_types()) is not None]
        return frozenset.intersection(*known) if known else None

    def names(self) -> frozenset[str]:
        """Names that the rule may use as ports."""
        return frozenset().union(*(p.names() for p in self.predicates))

    def select(self, graph: Graph) -> list[Matched]:
        """Every node that matches, in graph order, with its bindings."""
        nodes = graph.nodes_of(self.op_types())
        found = [(node, ways) for node in nodes if (ways := self.matches(graph, node))]
        for p in self.predicates:
            found = p.pick(found)
        return found

    def matches(self, graph: Graph, node: Node) -> list[Binding]:
        """Every distinct binding at a node: none, one, or several when it is ambiguous."""
        for test in self._tests:
            if not test.holds(graph, node):
                return []
        found: list[Binding] = [{}]
        for p in self._binders:
            found = [{**one, **more} for one in found for more in p.matches(graph, node)]
        return found if len(found) < 2 else distinct(found)

    def miss(self, graph: Graph, node: Node) -> Miss | None:
        """Why a node does not match, by the first predicate that refuses it; None if it does."""
        for depth, p in enumerate(self.predicates):
            if next(p.matches(graph, node), None) is None:
                missed = p.miss(graph, node)
                return Miss(depth=missed.depth + depth, text=missed.text)
        return None


def distinct(bindings: Iterable[Binding]) -> list[Binding]:
    """The bindings, those of the same tensors as one, which then covers the uses of each."""
    found: dict[tuple[tuple[str, tuple[str, ...]], ...], Binding] = {}
    for binding in bindings:
        key = tuple((name, bound.tensors) for name, bound in sorted(binding.items()))
        before = found.get(key, {})
        found[key] = {name: _merged(bound, before.get(name)) for name, bound in binding.items()}
    return list(found.values())


def _merged(bound: Bound, other: Bound | None) -> Bound:
    if other is None or other == bound:
        return bound
    edges = tuple(sorted({*bound.edges, *other.edges}))
    return Bound(tensors=bound.tensors, edges=edges)


def compile_match(spec: BaseModel) -> Selector:
    """Compile a validated match; InvalidMatchError tells where in it a value makes no sense."""
    given = spec.model_dump(exclude_none=True).keys()
    if not given:
        fix = f"use one of: {', '.join(PREDICATES)}"
        raise InvalidMatchError("the match is empty", fix=fix)
    return Selector(predicates=tuple(_compiled(key, getattr(spec, key)) for key in given))


def compile_nested(specs: Iterable[BaseModel]) -> tuple[Selector, ...]:
    """Compile a list of matches, which may not be empty."""
    return each(list(specs), compile_match)


def each(value: V | list[V], read: Callable[[V], R]) -> tuple[R, ...]:
    """Read a value, or every value of a list that may not be empty."""
    if not isinstance(value, list):
        return (read(value),)
    if not value:
        raise InvalidMatchError("the list is empty", fix="give at least one entry")
    found = []
    for index, one in enumerate(value):
        try:
            found.append(read(one))
        except InvalidMatchError as reason:
            raise reason.inside(index) from None
    return tuple(found)


def _compiled(key: str, value: Any) -> Predicate:
    try:
        return PREDICATES[key].compile(value)
    except InvalidMatchError as reason:
        raise reason.inside(key) from None
