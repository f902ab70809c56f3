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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from onnxq.graph import Edge, Graph, Node
from onnxq.ops import traits
from onnxq.selectors.base import Binding, Bound, predicate
from onnxq.selectors.basic import known_op


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
    return _term(tree.body)


def _refused(message: str, offset: int) -> SyntaxError:
    reason = SyntaxError(message)
    reason.offset = offset
    return reason


def _term(node: ast.expr) -> Term:
    match node:
        case ast.Name(id=name):
            return _name(node, name)
        case ast.NamedExpr(target=ast.Name(id=name), value=value):
            return _named(value, name)
        case ast.Call(func=func, args=args, keywords=keywords):
            attributes = tuple((k.arg or "", _literal(k.value)) for k in keywords)
            return Call(_ops(func), tuple(_term(a) for a in args), attributes)
        case ast.Constant(value=value) if value is ...:
            return Rest()
        case ast.Starred(value=ast.Name(id=name)):
            return Rest(name)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Either((_term(left), _term(right)))
    raise _refused(f"a pattern cannot have '{ast.unparse(node)}'", node.col_offset - 1)


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
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _ops(left) | _ops(right)
    raise _refused(f"'{ast.unparse(node)}' is not an op", node.col_offset - 1)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise _refused("an attribute must be a literal value", node.col_offset - 1) from None


def _variables(term: Term) -> frozenset[str]:
    match term:
        case Value(name) if name != "_":
            return frozenset({name})
        case Rest(name) if name:
            return frozenset({name})
        case Call(inputs=inputs, name=name):
            own = frozenset({name} if name else ())
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
class Pattern:
    """The node is the root of one of these expressions over ops, such as Add(Conv(...), skip)."""

    def __init__(self, value: str | list[str]) -> None:
        texts = [value] if isinstance(value, str) else value
        self._roots = tuple(c for text in texts for c in _calls(parse(text)))
        if not self._roots:
            raise ValueError("the list of patterns is empty")

    def op_types(self) -> frozenset[str] | None:
        """The ops of the roots."""
        return frozenset().union(*(r.ops for r in self._roots))

    def names(self) -> frozenset[str]:
        """Names that every alternative binds."""
        return frozenset.intersection(*(_variables(r) for r in self._roots))

    def matches(self, graph: Graph, node: Node) -> Iterator[Binding]:
        """Every binding, of the first alternative that matches."""
        for root in self._roots:
            found = list(_match_call(root, graph, node, {}))
            if found:
                yield from found
                return


def _match(term: Term, graph: Graph, tensor: str, edge: Edge, bound: Binding) -> Iterator[Binding]:
    match term:
        case Value(name):
            yield from _bind(name, tensor, edge, bound)
        case Const():
            if graph.is_constant(tensor):
                yield bound
        case Either(options):
            for option in options:
                yield from _match(option, graph, tensor, edge, bound)
        case Call(name=name):
            producer = graph.producer(tensor)
            if producer is not None:
                for inner in _bind(name or "_", tensor, edge, bound):
                    yield from _match_call(term, graph, producer, inner)


def _bind(name: str, tensor: str, edge: Edge, bound: Binding) -> Iterator[Binding]:
    if name == "_":
        yield bound
    elif (before := bound.get(name)) is None:
        yield {**bound, name: Bound(tensors=(tensor,), edges=(edge,))}
    elif before.tensors == (tensor,):
        yield {**bound, name: Bound(tensors=(tensor,), edges=tuple(sorted({*before.edges, edge})))}


def _match_call(call: Call, graph: Graph, node: Node, bound: Binding) -> Iterator[Binding]:
    if node.type not in call.ops or not _has_attributes(node, call.attributes):
        return
    if call.inputs is None:
        yield bound
        return
    yield from _match_inputs(call.inputs, graph, node, 0, (), bound)


def _match_inputs(
    terms: tuple[Term, ...],
    graph: Graph,
    node: Node,
    position: int,
    used: tuple[int, ...],
    bound: Binding,
) -> Iterator[Binding]:
    """Match terms to input slots in order; the first two may change places in a commutative op."""
    left = [s for s, name in enumerate(node.inputs) if name and s not in used]
    if position == len(terms):
        if not left:
            yield bound
        return
    term = terms[position]
    if isinstance(term, Rest):
        edges = tuple(Edge(node=node.name, slot=s) for s in left)
        tensors = tuple(node.inputs[s] for s in left)
        yield {**bound, term.name: Bound(tensors=tensors, edges=edges)} if term.name else bound
        return
    free = left if traits(node).commutative and position < 2 else left[:1]
    for slot in free:
        edge = Edge(node=node.name, slot=slot)
        for inner in _match(term, graph, node.inputs[slot], edge, bound):
            yield from _match_inputs(terms, graph, node, position + 1, (*used, slot), inner)


def _has_attributes(node: Node, wanted: tuple[tuple[str, Any], ...]) -> bool:
    have: Mapping[str, Any] = node.attributes
    return all(name in have and _same(have[name], value) for name, value in wanted)


def _same(have: Any, wanted: Any) -> bool:
    if isinstance(have, bytes):
        have = have.decode(errors="replace")
    if isinstance(wanted, (tuple, list)):
        return list(have) == list(wanted) if isinstance(have, (tuple, list)) else False
    return bool(have == wanted)
