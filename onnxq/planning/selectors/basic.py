"""Predicates on the node alone: `op`, `domain`, `name`, `attr` and `shape`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, Final

from onnx import defs

from onnxq.diagnostics import did_you_mean, error
from onnxq.model.graph import Graph, Node, Shape
from onnxq.model.node_inputs import attribute, weight_slots
from onnxq.model.ops import TRAITS
from onnxq.model.products import is_weighted
from onnxq.planning.selectors.base import InvalidMatchError, NodeTest, Search, each, predicate
from onnxq.planning.selectors.condition import ANY, Condition, condition, is_comparison, shown

Names = str | list[str]
Scalar = int | float | str


def known_op(op: str) -> str:
    """Return the op type, or raise InvalidMatchError when ONNX's own domain has no such op."""
    op = op.removeprefix("ai.onnx::")
    if "::" not in op and op not in TRAITS and not defs.has(op):
        fix = nearest_op(op, otherwise="an op of another domain is written domain::Op")
        raise InvalidMatchError(f"ONNX has no operator '{op}'", fix=fix)
    return op


def nearest_op(op: str, *, otherwise: str) -> str:
    """Ask whether an operator of ONNX was meant that is written alike."""
    ops = {s.name for s in defs.get_all_schemas() if not s.domain}
    return did_you_mean(op, ops, otherwise=otherwise)


@predicate("op", Names)
class OpIs(NodeTest):
    """The operator is one of these; outside ONNX's own domain it is written `domain::Op`."""

    def __init__(self, value: Names) -> None:
        self._ops = frozenset(each(value, known_op))

    def op_types(self) -> frozenset[str] | None:
        """The ops themselves."""
        return self._ops

    def holds(self, search: Search, node: Node) -> bool:
        """Whether the op is listed."""
        return node.type in self._ops

    def reason(self, search: Search, node: Node) -> str:
        """The op that it is."""
        return f"it is {node.type}, not {' or '.join(sorted(self._ops))}"


@predicate("domain", Names)
class DomainIs(NodeTest):
    """The operator's domain is one of these; ONNX's own is `ai.onnx`."""

    def __init__(self, value: Names) -> None:
        self._domains = frozenset(each(value, lambda d: "" if d == "ai.onnx" else d))

    def holds(self, search: Search, node: Node) -> bool:
        """Whether the domain is listed."""
        return node.domain in self._domains

    def reason(self, search: Search, node: Node) -> str:
        """The domain that it has."""
        return f"its domain is '{node.domain or 'ai.onnx'}'"


@predicate("name", Names)
class NameIs(NodeTest):
    """The name fits one of these globs (`*` stops at `/`, `**` does not) or `re:` regexes."""

    def __init__(self, value: Names) -> None:
        self._patterns = each(value, name_pattern)

    def holds(self, search: Search, node: Node) -> bool:
        """Whether a glob or regex fits the whole name."""
        return any(p.fits(node.name) for p in self._patterns)

    def reason(self, search: Search, node: Node) -> str:
        """The globs that do not fit."""
        texts = "' or '".join(p.text for p in self._patterns)
        return f"its name does not fit '{texts}'"


_SECONDS: Final = 1  # on one name, where a microsecond is usual
_WILDCARDS: Final = 3  # `re` is 10 times as fast as `regex`, and safe for so few wildcards
_GLOB = {"**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NamePattern:
    """A compiled glob or regular expression over whole names, and its text."""

    text: str
    fullmatch: Callable[[str], object | None]

    def fits(self, name: str) -> bool:
        """Whether it fits the whole name; OQ226 when one name takes over a second."""
        try:
            return self.fullmatch(name) is not None
        except TimeoutError:
            raise error(
                "OQ226",
                f"'{self.text[:60]}' takes more than {_SECONDS} s on '{name[:60]}'",
                fix="put no repetition inside another, such as (a+)+ or **a**a**",
            ) from None


def name_pattern(text: str) -> NamePattern:
    """Compile a glob over names, or a regular expression after 're:' (InvalidMatchError)."""
    if text.startswith("re:"):
        import regex

        try:
            re.compile(text[3:])  # its errors have a position; `regex` would accept more
            return NamePattern(text=text, fullmatch=_bounded(text[3:]))
        except (re.error, regex.error, OverflowError, RecursionError) as reason:
            raise InvalidMatchError(
                f"not a regular expression: {getattr(reason, 'msg', 'it is too large')}",
                fix="correct it, or leave 're:' out for a glob",
                offset=3 + (getattr(reason, "pos", 0) or 0),
            ) from None
    pieces = re.split(r"(\*\*|\*|\?)", text)
    glob = "(?s)" + "".join(_GLOB.get(p, re.escape(p)) for p in pieces)
    quick = len(pieces) // 2 <= _WILDCARDS
    return NamePattern(text=text, fullmatch=re.compile(glob).fullmatch if quick else _bounded(glob))


def _bounded(expression: str) -> Callable[[str], object | None]:
    """The full match of an expression, with TimeoutError after a second."""
    import regex

    return partial(regex.compile(expression).fullmatch, timeout=_SECONDS)


@predicate("attr", dict[str, Scalar | list[Scalar]])
class AttributesAre(NodeTest):
    """Each attribute has the value, or fits the comparison, such as `{group: "> 1"}`.

    An attribute that the node does not have takes the default that ONNX gives it.
    """

    def __init__(self, value: dict[str, Any]) -> None:
        self._wanted = {name: (want, _condition(name, want)) for name, want in value.items()}

    def holds(self, search: Search, node: Node) -> bool:
        """Whether every attribute fits."""
        return self._unfit(node) is None

    def _unfit(self, node: Node) -> str | None:
        for name, (_, fits) in self._wanted.items():
            value = attribute(node, name)
            if value is None or not fits(value):
                return name
        return None

    def reason(self, search: Search, node: Node) -> str:
        """The first attribute that does not fit."""
        name = self._unfit(node) or ""
        value = attribute(node, name)
        have = "has no value" if value is None else f"is {shown(value)}"
        return f"its attribute '{name}' {have}, not {self._wanted[name][0]}"


def _condition(name: str, wanted: Any) -> Condition:
    try:
        return condition(wanted)
    except InvalidMatchError as reason:
        raise reason.inside(name) from None


@predicate("product", bool)
class IsProduct(NodeTest):
    """Whether it multiplies matrices or filters in a form that TensorRT may compute in INT8.

    An Einsum does not always; a product of constants is none, as it is computed beforehand.
    """

    def __init__(self, value: bool) -> None:
        self._wanted = value

    def holds(self, search: Search, node: Node) -> bool:
        """Whether it is one, or whether it is none."""
        return is_weighted(search.graph, node) is self._wanted

    def reason(self, search: Search, node: Node) -> str:
        """What it is instead."""
        return "it is no product that TensorRT computes in INT8" if self._wanted else "it is one"


REST: Final = "..."
_PORT: Final = re.compile(r"(weights|input\[([0-9]{1,9})\]|output\[([0-9]{1,9})\])")


@predicate("shape", dict[str, list[int | str]])
class ShapesAre(NodeTest):
    """The shape of `weights`, `input[0]` or `output[0]`: one entry a dimension.

    An entry is a size, a comparison such as `"< 16"`, `_` for any, or `...` for any number of
    further ones at the end; `"... > 32"` compares the product of these. A dimension whose size is
    not known fits only `_` and `...`.
    """

    def __init__(self, value: dict[str, list[int | str]]) -> None:
        self._wanted = {port: _dimensions(port, dims) for port, dims in value.items()}

    def holds(self, search: Search, node: Node) -> bool:
        """Whether every port's shape fits."""
        return self._unfit(search.graph, node) is None

    def _unfit(self, graph: Graph, node: Node) -> str | None:
        for port, wanted in self._wanted.items():
            shape = _shape(graph, node, port)
            if shape is None or not wanted.fit(shape):
                return port
        return None

    def reason(self, search: Search, node: Node) -> str:
        """The first port whose shape does not fit."""
        port = self._unfit(search.graph, node) or ""
        shape = _shape(search.graph, node, port)
        if shape is None:
            return f"the shape of {port} is not known"
        sizes = "x".join("?" if d is None else str(d) for d in shape)
        return f"the shape of {port} is {sizes}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dimensions:
    """The conditions on the first dimensions, None for any, and on the product of the others."""

    first: tuple[Condition | None, ...]
    open_ended: bool
    product: Condition | None

    def fit(self, shape: Shape) -> bool:
        """Whether a shape fits."""
        count = len(self.first)
        if len(shape) < count or (len(shape) > count and not self.open_ended):
            return False
        rest = [size for size in shape[count:] if isinstance(size, int)]
        if self.product is not None and (
            len(rest) < len(shape) - count or not self.product(prod(rest))
        ):
            return False
        return all(
            fits is None or (isinstance(have, int) and fits(have))
            for have, fits in zip(shape, self.first, strict=False)
        )


def _dimensions(port: str, dims: list[int | str]) -> _Dimensions:
    if not _PORT.fullmatch(port):
        fix = "use weights, input[0] or output[0]"
        raise InvalidMatchError(f"'{port}' is not one tensor", fix=fix, path=(port,))
    last = str(dims[-1]) if dims else ""
    open_ended = last.startswith(REST)
    product = last.removeprefix(REST).strip() if open_ended else ""
    fixed = dims[:-1] if open_ended else dims
    if product and not is_comparison(product):
        fix = "write '...' alone, or a comparison behind it, such as '... > 32'"
        raise InvalidMatchError(f"'{last}' is not an end of a shape", fix=fix, path=(port,))
    try:
        return _Dimensions(
            first=each(fixed, _dimension) if fixed else (),
            open_ended=open_ended,
            product=condition(product) if product else None,
        )
    except InvalidMatchError as reason:
        raise reason.inside(port) from None


def _dimension(wanted: int | str) -> Condition | None:
    if isinstance(wanted, str) and wanted.startswith(REST):
        raise InvalidMatchError("'...' stands before another dimension", fix="put it last")
    if isinstance(wanted, str) and wanted != ANY and not is_comparison(wanted):
        fix = "give a size, a comparison such as '< 16', _ or ..."
        raise InvalidMatchError(f"'{wanted}' is not a dimension", fix=fix)
    return None if wanted == ANY else condition(wanted)


def _shape(graph: Graph, node: Node, port: str) -> Shape | None:
    port_match = _PORT.fullmatch(port)
    if port_match is None:
        return None
    if port == "weights":
        slots = weight_slots(graph, node)
        return graph.type(node.inputs[slots[0]]).shape if slots else None
    tensors = node.inputs if port_match[2] else node.outputs
    index = int(port_match[2] or port_match[3])
    return graph.type(tensors[index]).shape if index < len(tensors) else None
