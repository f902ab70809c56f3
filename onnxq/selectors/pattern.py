"""The `pattern` predicate: a small expression over producers, in Python's syntax, never executed.

CamelCase       an op; alone, that op with any inputs
lower_case      a value; the same name is the same tensor
_               anything
const           an initializer or constant
...             further inputs, whatever they are
*xs             captures the further inputs
A | B           alternatives, of ops or of whole patterns
y := Conv(...)  names the output of a call
group=1         an attribute of the op
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from onnxq.graph import Edge, Graph, Node
from onnxq.ops import attribute, traits
from onnxq.selectors.base import Binding, Bound, InvalidMatchError, Miss, Predicate, predicate
from onnxq.selectors.basic import known_op
from onnxq.selectors.condition import plain

ANYTHING: Final = "_"


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor: named, or anything when `name` is '_'."""

    name: str


@dataclass(frozen=True, slots=True)
class Const:
    """A constant tensor."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Any number of further inputs, captured when `name` is not empty."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """The output of an op; `inputs` None means any inputs."""

    ops: frozenset[str]
    inputs: tuple[Term, ...] | None
    attributes: tuple[tuple[str, Any], ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Either:
    """One of several patterns."""

    options: tuple[Term, ...]


Term = Value | Const | Rest | Call | Either


def parse(text: str) -> Term:
    """Read a pattern; SyntaxError, with the offset in the text, when it is not one."""
    try:
        tree = ast.parse(f"({text})", mode="eval")
    except SyntaxError as reason:
        raise _refused(reason.msg, max((reason.offset or 2) - 2, 0)) from None
    except (ValueError, RecursionError, MemoryError):
        raise _refused("the pattern cannot be read", 0) from None
    try:
        return _term(tree.body)
    except RecursionError:
        raise _refused("the pattern is nested too deeply", 0) from None


def _refused(message: str, offset: int) -> SyntaxError:
    reason = SyntaxError(message)
    reason.offset = offset
    return reason


def _term(node: ast.expr) -> Term:
    match node:
        case ast.Name(id=name):
            return _name(node, name)
        case ast.Attribute():
            return Call(_ops(node), None)
        case ast.NamedExpr(target=ast.Name(id=name), value=value):
            return _named(value, name)
        case ast.Call(func=func, args=args, keywords=keywords):
            attributes = tuple((k.arg or "", _literal(k.value)) for k in keywords)
            return Call(_ops(func), _inputs(args), attributes)
        case ast.Constant(value=value) if value is ...:
            return Rest()
        case ast.Starred(value=ast.Name(id=name)):
            return Rest(name)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Either((_term(left), _term(right)))
    raise _refused(f"a pattern cannot have '{ast.unparse(node)}'", node.col_offset - 1)


def _inputs(args: list[ast.expr]) -> tuple[Term, ...]:
    terms = tuple(_term(a) for a in args)
    for term, arg in zip(terms[:-1], args, strict=False):
        if isinstance(term, Rest):
            raise _refused(f"'{ast.unparse(arg)}' must be the last input", arg.col_offset - 1)
    return terms


def _name(node: ast.Name, name: str) -> Term:
    if name == "const":
        return Const()
    return Call(_ops(node), None) if name[0].isupper() else Value(name)


def _named(value: ast.expr, name: str) -> Term:
    term = _term(value)
    if not isinstance(term, Call):
        raise _refused("only an op can be named with ':='", value.col_offset - 1)
    return Call(term.ops, term.inputs, term.attributes, name)


def _ops(node: ast.expr) -> frozenset[str]:
    match node:
        case ast.Name(id=name) if name[0].isupper():
            try:
                return frozenset({known_op(name)})
            except ValueError as reason:
                raise _refused(str(reason), node.col_offset - 1) from None
        case ast.Attribute(value=domain, attr=name):
            return frozenset({f"{ast.unparse(domain)}::{name}"})
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _ops(left) | _ops(right)
    raise _refused(f"'{ast.unparse(node)}' is not an op", node.col_offset - 1)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise _refused("an attribute must be a literal value", node.col_offset - 1) from None


def _variables(term: Term) -> frozenset[str]:
    match term:
        case Value(name) if name != "_":
            return frozenset({name})
        case Rest(name) if name not in ("", ANYTHING):
            return frozenset({name})
        case Call(inputs=inputs, name=name):
            own = frozenset(() if name in ("", ANYTHING) else {name})
            return own.union(*(_variables(i) for i in inputs or ()))
        case Either(options):
            return frozenset.intersection(*(_variables(o) for o in options))
    return frozenset()


def _calls(term: Term) -> tuple[Call, ...]:
    """The calls that a node must be one of, when the term stands for that node."""
    if isinstance(term, Either):
        return tuple(c for option in term.options for c in _calls(option))
    if isinstance(term, Call):
        return (term,)
    raise _refused("a pattern must begin with an op", 0)


@predicate("pattern", str | list[str])
class Pattern(Predicate):
    """The node is the root of this expression over ops, such as `Add(Conv(...), skip)`."""

    def __init__(self, value: str | list[str]) -> None:
        roots: list[Call] = []
        for index, text in enumerate([value] if isinstance(value, str) else value):
            path = () if isinstance(value, str) else (index,)
            try:
                roots.extend(_calls(parse(text)))
            except SyntaxError as reason:
                raise InvalidMatchError(str(reason.msg), path, reason.offset or 0) from None
        if not roots:
            raise ValueError("the list of patterns is empty")
        self._roots = tuple(roots)

    def op_types(self) -> frozenset[str] | None:
        """The ops of the roots."""
        return frozenset().union(*(r.ops for r in self._roots))

    def names(self) -> frozenset[str]:
        """Names that every alternative binds."""
        return frozenset.intersection(*(_variables(r) for r in self._roots))

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


@dataclass(slots=True)
class _Matcher:
    """Matches terms on one graph; collects why branches failed when `misses` is a list.

    Every method returns all bindings that extend the one it is given.
    """

    graph: Graph
    misses: list[Miss] | None = None

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
            return [bound]
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
