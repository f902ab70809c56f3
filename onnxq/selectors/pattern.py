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
            found = list(_Matcher(graph).root(root, node))
            if found:
                yield from found
                return

    def miss(self, graph: Graph, node: Node) -> Miss:
        """The furthest point that any alternative reached."""
        matcher = _Matcher(graph, misses=[])
        for root in self._roots:
            for _ in matcher.root(root, node):
                pass
        return max(matcher.misses or [Miss(depth=0, text="the pattern does not match")])


@dataclass(slots=True)
class _Matcher:
    """Matches terms on one graph; collects why branches failed when `misses` is a list."""

    graph: Graph
    misses: list[Miss] | None = None

    def root(self, call: Call, node: Node) -> Iterator[Binding]:
        named = {call.name: self._output(node)} if call.name else {}
        yield from self._call(call, node, named, 0)

    def _output(self, node: Node) -> Bound:
        return Bound(tensors=node.outputs[:1], edges=self.graph.consumers(node.outputs[0]))

    def _missed(self, depth: int, text: str) -> None:
        if self.misses is not None:
            self.misses.append(Miss(depth=depth, text=text))

    def _term(self, term: Term, edge: Edge, bound: Binding, depth: int) -> Iterator[Binding]:
        tensor = self.graph.tensor(edge)
        match term:
            case Value(name):
                yield from self._bind(name, tensor, edge, bound, depth)
            case Const():
                if self.graph.is_constant(tensor):
                    yield bound
                else:
                    self._missed(depth, f"{_input(edge)} is not a constant")
            case Either(options):
                for option in options:
                    yield from self._term(option, edge, bound, depth)
            case Call(name=name):
                producer = self.graph.producer(tensor)
                if producer is None:
                    self._missed(depth, f"{_input(edge)} is made by no op")
                elif producer.type not in term.ops:
                    wanted = " or ".join(sorted(term.ops))
                    self._missed(depth, f"{_input(edge)} is {producer.type}, not {wanted}")
                else:
                    for inner in self._bind(name or ANYTHING, tensor, edge, bound, depth):
                        yield from self._call(term, producer, inner, depth + 1)

    def _bind(
        self, name: str, tensor: str, edge: Edge, bound: Binding, depth: int
    ) -> Iterator[Binding]:
        if name == ANYTHING:
            yield bound
        elif (before := bound.get(name)) is None:
            yield {**bound, name: Bound(tensors=(tensor,), edges=(edge,))}
        elif before.tensors == (tensor,):
            edges = tuple(sorted({*before.edges, edge}))
            yield {**bound, name: Bound(tensors=(tensor,), edges=edges)}
        else:
            other = before.tensors[0]
            self._missed(depth, f"{_input(edge)} is '{tensor}', but '{name}' is '{other}' already")

    def _bind_rest(
        self, name: str, node: Node, slots: list[int], bound: Binding, depth: int
    ) -> Iterator[Binding]:
        rest, before = _rest(node, slots), bound.get(name)
        if name == ANYTHING:
            yield bound
        elif before is None:
            yield {**bound, name: rest}
        elif before.tensors == rest.tensors:
            edges = tuple(sorted({*before.edges, *rest.edges}))
            yield {**bound, name: Bound(tensors=rest.tensors, edges=edges)}
        else:
            told = ", ".join(before.tensors)
            self._missed(depth, f"{_told(node)} has other inputs, but '{name}' is {told} already")

    def _call(self, call: Call, node: Node, bound: Binding, depth: int) -> Iterator[Binding]:
        if node.type not in call.ops:
            return
        for name, wanted in call.attributes:
            if plain(have := attribute(node, name)) != plain(wanted):
                self._missed(depth, f"{name} of {_told(node)} is {have}, not {wanted}")
                return
        if call.inputs is None:
            yield bound
        else:
            yield from self._inputs(call.inputs, node, (), bound, depth)

    def _inputs(
        self, terms: tuple[Term, ...], node: Node, used: tuple[int, ...], bound: Binding, depth: int
    ) -> Iterator[Binding]:
        """Match terms to input slots in order; the first two may change places if commutative."""
        left = [s for s, name in enumerate(node.inputs) if name and s not in used]
        if not terms:
            if left:
                self._missed(depth, f"{_told(node)} has further inputs; end with '...'")
            else:
                yield bound
            return
        term = terms[0]
        if isinstance(term, Rest):
            yield from self._bind_rest(term.name or ANYTHING, node, left, bound, depth)
            return
        if not left:
            self._missed(depth, f"{_told(node)} has only {len(used)} inputs")
        free = left if traits(node).commutative and len(used) < 2 else left[:1]
        for slot in free:
            edge = Edge(node=node.name, slot=slot)
            for inner in self._term(term, edge, bound, depth):
                yield from self._inputs(terms[1:], node, (*used, slot), inner, depth + 1)


def _rest(node: Node, slots: list[int]) -> Bound:
    return Bound(
        tensors=tuple(node.inputs[s] for s in slots),
        edges=tuple(Edge(node=node.name, slot=s) for s in slots),
    )


def _told(node: Node) -> str:
    return f"{node.op} '{node.name}'"


def _input(edge: Edge) -> str:
    return f"input {edge.slot} of '{edge.node}'"
