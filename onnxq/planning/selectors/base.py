"""What every predicate is, and how the predicates of one match are joined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from pydantic import BaseModel

from onnxq.diagnostics import error
from onnxq.model.graph import Edge, Graph, Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a name of a rule stands for at one match: tensors, and node inputs that read them."""

    tensors: tuple[str, ...]
    edges: tuple[Edge, ...]


Binding = Mapping[str, Bound]
Matched = tuple[Node, list[Binding]]

_STEPS_AT_A_NODE: Final = 50_000  # a real pattern takes some dozens
_STEPS_OF_A_RULE: Final = 2_000_000
_MORE_STEPS_PER_NODE: Final = 100  # of the graph


class Search:
    """One search for all matches of a rule in a graph, with a limit on its steps."""

    __slots__ = ("_left_at_node", "_left_of_rule", "graph")

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._left_at_node = _STEPS_AT_A_NODE
        self._left_of_rule = _STEPS_OF_A_RULE + _MORE_STEPS_PER_NODE * len(graph.nodes)

    def nodes(self, types: frozenset[str] | None) -> Iterator[Node]:
        """Nodes of some types in graph order; each has the steps of one node."""
        left_outside = self._left_at_node  # of the node at which a nested match is looked for
        for node in self.graph.nodes_of(types):
            self._left_at_node = _STEPS_AT_A_NODE
            yield node
        self._left_at_node = left_outside

    def step(self, node: Node) -> None:
        """Count one step around a node; OQ105 when there is none left."""
        self._left_at_node -= 1
        self._left_of_rule -= 1
        if self._left_at_node < 0 or self._left_of_rule < 0:
            raise error(
                "OQ105",
                f"the pattern could match in very many ways around '{node.name}'",
                fix="put fewer Adds and Muls inside each other, and fewer patterns under 'all'",
            )


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Miss:
    """Why a node does not match: `depth` counts what did, so that the deepest miss is nearest."""

    depth: int
    text: str


class Predicate:
    """One key of `match`, compiled. A subclass overrides `choices`, `miss` and what else it needs.

    One that binds no names is a `NodeTest`.
    """

    def op_types(self) -> frozenset[str] | None:
        """Types of the nodes that can match at all; None for any. Makes planning fast."""
        return None

    def names(self) -> frozenset[str]:
        """Names that every match binds."""
        return frozenset()

    def choices(
        self, search: Search, node: Node, bindings: list[Binding]
    ) -> Iterator[list[Binding]]:
        """All bindings that extend one of `bindings` and match, once for each alternative.

        The caller takes the first list that fits the rest of the match. No list is empty.
        """
        raise NotImplementedError

    def pick(self, matches: list[Matched]) -> list[Matched]:
        """Keep some of all that the whole match selects, in graph order."""
        return matches

    def miss(self, search: Search, node: Node, bindings: list[Binding]) -> Miss:
        """Why a node does not match where `choices` yields nothing."""
        raise NotImplementedError


class NodeTest(Predicate):
    """A predicate that binds nothing: it holds at a node or it does not."""

    def holds(self, search: Search, node: Node) -> bool:
        """Whether it holds."""
        raise NotImplementedError

    def reason(self, search: Search, node: Node) -> str:
        """Why it does not hold."""
        raise NotImplementedError

    def choices(
        self, search: Search, node: Node, bindings: list[Binding]
    ) -> Iterator[list[Binding]]:
        """The bindings as they are, when it holds."""
        if self.holds(search, node):
            yield bindings

    def miss(self, search: Search, node: Node, bindings: list[Binding]) -> Miss:
        """Why it does not hold."""
        return Miss(depth=0, text=self.reason(search, node))


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
        """The same error, with `path` in front of its own path."""
        return InvalidMatchError(
            str(self), fix=self.fix, path=(*path, *self.path), offset=self.offset
        )


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


class Part(Protocol):
    """A part of a conjunction: a predicate, or a whole match."""

    def choices(
        self, search: Search, node: Node, bindings: list[Binding]
    ) -> Iterator[list[Binding]]:
        """As `Predicate.choices`."""

    def miss(self, search: Search, node: Node, bindings: list[Binding]) -> Miss | None:
        """As `Predicate.miss`; None when the part matches."""


def joined(
    parts: Sequence[Part], search: Search, node: Node, bindings: list[Binding]
) -> Iterator[list[Binding]]:
    """The choices of all parts (one or more): each part extends the bindings of those before it.

    So a name that several parts bind stands for one tensor. When a part fits no binding, the next
    alternative of the parts before it is tried.
    """
    open_choices = [parts[0].choices(search, node, bindings)]
    went_back = False
    while open_choices:
        extended = next(open_choices[-1], None)
        if extended is None:
            open_choices.pop()
            went_back = True
            continue
        if went_back:  # only alternatives multiply the work
            search.step(node)
        if len(open_choices) == len(parts):
            yield extended
        else:
            open_choices.append(parts[len(open_choices)].choices(search, node, extended))


def first_miss(
    parts: Sequence[Part], search: Search, node: Node, bindings: list[Binding]
) -> Miss | None:
    """The miss of the first part that does not match together with those before it."""
    for index, part in enumerate(parts):
        extended = next(part.choices(search, node, bindings), None)
        if extended is None:
            miss = part.miss(search, node, bindings)
            return miss and Miss(depth=miss.depth + index, text=miss.text)
        bindings = extended
    return None


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
        restrictions = [types for p in self.predicates if (types := p.op_types()) is not None]
        return frozenset.intersection(*restrictions) if restrictions else None

    def names(self) -> frozenset[str]:
        """Names that the rule may use as ports."""
        return frozenset().union(*(p.names() for p in self.predicates))

    def select(self, graph: Graph) -> list[Matched]:
        """Every node that matches, in graph order, with its bindings.

        Raises OnnxqError when matching would not end (OQ105 for patterns, OQ226 for names).
        """
        return self.select_within(Search(graph))

    def select_within(self, search: Search) -> list[Matched]:
        """Like `select`, as a part of another search and within its limit."""
        nodes = search.nodes(self.op_types())
        matches = [(node, ways) for node in nodes if (ways := self.ways(search, node))]
        for p in self.predicates:
            matches = p.pick(matches)
        return matches

    def ways(self, search: Search, node: Node) -> list[Binding]:
        """Every distinct binding at a node: none, one, or several when it is ambiguous."""
        return distinct(next(self.choices(search, node, [{}]), []))

    def choices(
        self, search: Search, node: Node, bindings: list[Binding]
    ) -> Iterator[list[Binding]]:
        """All bindings that extend one of `bindings` and match, once for each alternative."""
        for test in self._tests:
            if not test.holds(search, node):
                return
        if self._binders:
            yield from joined(self._binders, search, node, bindings)
        else:
            yield bindings

    def miss(self, search: Search, node: Node, bindings: list[Binding]) -> Miss | None:
        """Why a node does not match, by the first predicate that refuses it; None if it does."""
        return first_miss(self.predicates, search, node, bindings)


def distinct(bindings: list[Binding]) -> list[Binding]:
    """The bindings; those with the same tensors are merged and cover the uses of each."""
    if len(bindings) < 2:
        return bindings
    by_tensors: dict[tuple[tuple[str, tuple[str, ...]], ...], Binding] = {}
    for binding in bindings:
        key = tuple((name, bound.tensors) for name, bound in sorted(binding.items()))
        before = by_tensors.get(key, {})
        by_tensors[key] = {name: _merged(b, before.get(name)) for name, b in binding.items()}
    return list(by_tensors.values())


def _merged(bound: Bound, other: Bound | None) -> Bound:
    if other is None or other == bound:
        return bound
    edges = tuple(sorted({*bound.edges, *other.edges}))
    return Bound(tensors=bound.tensors, edges=edges)


def compile_match(spec: BaseModel) -> Selector:
    """Compile a validated match; InvalidMatchError says where in it a value makes no sense."""
    keys = spec.model_dump(exclude_none=True).keys()
    if not keys:
        fix = f"use one of: {', '.join(PREDICATES)}"
        raise InvalidMatchError("the match is empty", fix=fix)
    return Selector(predicates=tuple(_compiled(key, getattr(spec, key)) for key in keys))


def compile_nested(specs: Iterable[BaseModel]) -> tuple[Selector, ...]:
    """Compile a list of matches, which may not be empty."""
    return each(list(specs), compile_match)


def each(value: V | list[V], read: Callable[[V], R]) -> tuple[R, ...]:
    """Apply `read` to a value, or to every entry of a list that may not be empty."""
    if not isinstance(value, list):
        return (read(value),)
    if not value:
        raise InvalidMatchError("the list is empty", fix="give at least one entry")
    results = []
    for index, entry in enumerate(value):
        try:
            results.append(read(entry))
        except InvalidMatchError as reason:
            raise reason.inside(index) from None
    return tuple(results)


def _compiled(key: str, value: Any) -> Predicate:
    try:
        return PREDICATES[key].compile(value)
    except InvalidMatchError as reason:
        raise reason.inside(key) from None
