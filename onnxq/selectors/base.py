"""What every predicate is, and their conjunction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from onnxq.graph import Edge, Graph, Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a name of a rule stands for at one match: tensors, and the uses of them it covers."""

    tensors: tuple[str, ...]
    edges: tuple[Edge, ...]


Binding = Mapping[str, Bound]


class Predicate(Protocol):
    """One key of `match`, compiled."""

    def op_types(self) -> frozenset[str] | None:
        """Types of the nodes that can match at all; None for any. Makes planning fast."""

    def names(self) -> frozenset[str]:
        """Names that every match binds."""

    def matches(self, graph: Graph, node: Node) -> Iterator[Binding]:
        """Every way the predicate matches at a node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredicateType:
    """A registered key of `match`: the type of its YAML value, and how that is compiled.

    `compile` raises ValueError with a reason, and may raise SyntaxError with an offset, when the
    value makes no sense.
    """

    value: Any
    compile: Callable[[Any], Predicate]
    doc: str


PREDICATES: Final[dict[str, PredicateType]] = {}

P = TypeVar("P", bound=Callable[[Any], Predicate])


def predicate(key: str, value: Any) -> Callable[[P], P]:
    """Register a class or function under a key of `match` whose YAML value has type `value`."""

    def register(compile_: P) -> P:
        PREDICATES[key] = PredicateType(value=value, compile=compile_, doc=compile_.__doc__ or "")
        return compile_

    return register


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """The conjunction of the predicates of one rule."""

    predicates: tuple[Predicate, ...] = field(repr=False)

    def op_types(self) -> frozenset[str] | None:
        """Types that every predicate allows; None for any."""
        known = [types for p in self.predicates if (types := p.op_types()) is not None]
        return frozenset.intersection(*known) if known else None

    def names(self) -> frozenset[str]:
        """Names that the rule may use as ports."""
        return frozenset().union(*(p.names() for p in self.predicates))

    def matches(self, graph: Graph, node: Node) -> list[Binding]:
        """Every distinct binding at a node: none, one, or several when it is ambiguous."""
        found: list[Binding] = [{}]
        for p in self.predicates:
            found = [{**one, **more} for one in found for more in p.matches(graph, node)]
        return [b for i, b in enumerate(found) if b not in found[:i]]
