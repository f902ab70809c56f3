"""Predicates on the node alone: `op` and `name`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from onnx import defs

from onnxq.diagnostics import did_you_mean
from onnxq.graph import Graph, Node
from onnxq.ops import TRAITS
from onnxq.selectors.base import Binding, predicate

Names = str | list[str]


def _listed(value: Names) -> list[str]:
    return [value] if isinstance(value, str) else value


def known_op(op: str) -> str:
    """Return the op type, or raise ValueError when the default domain has no such operator."""
    if "::" not in op and op not in TRAITS and not defs.has(op):
        ops = {s.name for s in defs.get_all_schemas()}
        raise ValueError(f"ONNX has no operator '{op}'; {did_you_mean(op, ops)[:200]}")
    return op


@predicate("op", Names)
class OpIs:
    """The operator is one of these; outside the default domain 'domain::Op'."""

    def __init__(self, value: Names) -> None:
        self._ops = frozenset(known_op(op) for op in _listed(value))

    def op_types(self) -> frozenset[str] | None:
        """The ops themselves."""
        return self._ops

    def names(self) -> frozenset[str]:
        """No names."""
        return frozenset()

    def matches(self, graph: Graph, node: Node) -> Iterator[Binding]:
        """One empty binding when the op is listed."""
        if node.type in self._ops:
            yield {}


@predicate("name", Names)
class NameIs:
    """The name fits one of these globs ('*' stops at '/', '**' does not) or 're:' regexes."""

    def __init__(self, value: Names) -> None:
        self._regexes = tuple(_regex(text) for text in _listed(value))

    def op_types(self) -> frozenset[str] | None:
        """Any op."""
        return None

    def names(self) -> frozenset[str]:
        """No names."""
        return frozenset()

    def matches(self, graph: Graph, node: Node) -> Iterator[Binding]:
        """One empty binding when a glob or regex fits the whole name."""
        if any(r.fullmatch(node.name) for r in self._regexes):
            yield {}


_GLOB = {"**": ".*", "*": "[^/]*", "?": "[^/]"}


def _regex(text: str) -> re.Pattern[str]:
    if text.startswith("re:"):
        try:
            return re.compile(text[3:])
        except re.error as reason:
            raise ValueError(f"'{text}' is not a regular expression: {reason}") from None
    pieces = re.split(r"(\*\*|\*|\?)", text)
    return re.compile("".join(_GLOB.get(p, re.escape(p)) for p in pieces), re.DOTALL)
