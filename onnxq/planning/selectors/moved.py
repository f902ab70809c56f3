"""Predicates on what becomes of a result behind ops that only move values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic import BaseModel

from onnxq.model.cuts import become_heads, cut_behind
from onnxq.model.graph import Graph, Node
from onnxq.planning.selectors.base import (
    Binding,
    Bound,
    Miss,
    Predicate,
    Search,
    compile_match,
    predicate,
)

_CUT: Final = "cut"


@predicate("cut", "MatchSpec")
class IsCut(Predicate):
    """It is a MatMul, Gemm or Einsum, or the Add of its bias, whose result is cut.

    The result is cut into parts by Split, Slice or Gather, and by ops that only move values. A node
    that matches this reads a part, or the parts are three of one size that become heads behind the
    cut. The name `cut` is the result as those ops read it.
    """

    def __init__(self, value: BaseModel) -> None:
        self._readers = compile_match(value)
        self._cached: tuple[Graph, frozenset[str]] | None = None

    def names(self) -> frozenset[str]:
        """The result that is cut."""
        return frozenset({_CUT})

    def choices(
        self, search: Search, node: Node, bindings: list[Binding]
    ) -> Iterator[list[Binding]]:
        """The bindings with the cut result, when it is cut for one that matches."""
        cut = cut_behind(search.graph, node)
        if cut is None:
            return
        wanted = self._wanted(search)
        readers = {e.node for part in cut.parts for e in search.graph.consumers(part.tensor)}
        if become_heads(search.graph, cut) or not readers.isdisjoint(wanted):
            bound = Bound(tensors=(cut.tensor,), edges=cut.edges)
            yield [{**binding, _CUT: bound} for binding in bindings]

    def miss(self, search: Search, node: Node, bindings: list[Binding]) -> Miss:
        """Whether it is cut at all."""
        if cut_behind(search.graph, node) is None:
            return Miss(depth=0, text="it is no matrix product, or its result is not cut")
        return Miss(depth=1, text="no node that matches reads a part of its result")

    def _wanted(self, search: Search) -> frozenset[str]:
        if self._cached is None or self._cached[0] is not search.graph:
            names = frozenset(n.name for n, _ in self._readers.select_within(search))
            self._cached = (search.graph, names)
        return self._cached[1]
