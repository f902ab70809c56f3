"""Patterns as text: Python's expression syntax, read with `ast` and never executed.

CamelCase       an op; alone, that op with any inputs
lower_case      a value; the same name is the same tensor
_               anything
const           an initializer or constant
...             further inputs, whatever they are
*xs             captures the further inputs
A | B           alternatives, of ops or of whole patterns
y := Conv(...)  names the output of a call; w := const a constant
group=1         an attribute of the op
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from typing import Any, Final

from onnxq.planning.selectors.base import InvalidMatchError
from onnxq.planning.selectors.basic import known_op, nearest_op

ANYTHING: Final = "_"
_LENGTH: Final = 10_000
_RESERVED: Final = frozenset({"const", "inputs", "outputs", "weights", "all"})
_FIX: Final = "docs/rules.md has the syntax of patterns"


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor: named, or anything when `name` is '_'."""

    name: str


@dataclass(frozen=True, slots=True)
class Const:
    """A constant tensor, captured when `name` is not empty."""

    name: str = ""


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


class _RefusedError(Exception):
    """A part of an expression that a pattern cannot have, and its place."""

    def __init__(self, message: str, node: ast.expr, fix: str = _FIX) -> None:
        super().__init__(message)
        self.place = (node.lineno, node.col_offset)
        self.fix = fix


def parse(text: str) -> tuple[Call, ...]:
    """Read a pattern; return its alternatives, one of which the node must match.

    Raises InvalidMatchError with the offset in the text.
    """
    if not text.strip():
        raise InvalidMatchError("the pattern is empty", fix="write an op, such as Conv(...)")
    if len(text) > _LENGTH:
        message = f"the pattern is longer than {_LENGTH:,} characters"
        raise InvalidMatchError(message, fix="use several rules")
    wrapped = f"({text})"  # lets a pattern have several lines, and begin with a name
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(wrapped, mode="eval")
        return _roots(_term(tree.body), tree.body)
    except _RefusedError as reason:
        line, column = reason.place
        begin = wrapped.encode().split(b"\n")[line - 1][:column].decode()
        offset = _offset(wrapped, line, len(begin))
        raise InvalidMatchError(str(reason), fix=reason.fix, offset=offset) from None
    except SyntaxError as reason:
        offset = _offset(wrapped, reason.lineno or 1, (reason.offset or 1) - 1)
        if "was never closed" in reason.msg:
            offset = _unclosed(text)
        message = f"the pattern is not one expression: {reason.msg.removesuffix('?')}"
        raise InvalidMatchError(message, fix=_FIX, offset=min(offset, len(text) - 1)) from None
    except (RecursionError, MemoryError):
        raise InvalidMatchError("the pattern is nested too deeply", fix=_FIX) from None
    except ValueError as reason:  # a null character
        raise InvalidMatchError(f"the pattern is not text: {reason}", fix=_FIX) from None


def _offset(wrapped: str, line: int, column: int) -> int:
    """Offset in the text, without the parenthesis put before it."""
    lines = wrapped.split("\n")[: line - 1]
    return max(sum(len(before) + 1 for before in lines) + column - 1, 0)


def _unclosed(text: str) -> int:
    """Offset of the innermost bracket that nothing closes."""
    brackets: list[int] = []
    for offset, character in enumerate(text):
        if character in "([{":
            brackets.append(offset)
        elif character in ")]}" and brackets:
            brackets.pop()
    return brackets[-1] if brackets else 0


def _roots(term: Term, node: ast.expr) -> tuple[Call, ...]:
    if isinstance(term, Either):
        return tuple(call for option in term.options for call in _roots(option, node))
    if isinstance(term, Call):
        return (term,)
    raise _RefusedError("a pattern must begin with an op", node, "write one, such as Conv(...)")


def _term(node: ast.expr) -> Term:
    match node:
        case ast.Name(id=name) if name[0].isupper():
            return Call(_ops(node), None)
        case ast.Name(id=name):
            return Const() if name == "const" else Value(_name(name, node))
        case ast.Attribute():
            return Call(_ops(node), None)
        case ast.NamedExpr(target=ast.Name(id=name) as target, value=value):
            return _named(value, _name(name, target))
        case ast.Call(func=func, args=args, keywords=keywords):
            return Call(_ops(func), _inputs(args), tuple(map(_attribute, keywords)))
        case ast.Constant(value=value) if value is ...:
            return Rest()
        case ast.Starred(value=ast.Name(id=name) as target):
            return Rest(_name(name, target))
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Either((_option(left), _option(right)))
    raise _refused("a pattern cannot have {}", node)


def _refused(message: str, node: ast.expr, fix: str = _FIX) -> _RefusedError:
    shown = ast.unparse(node)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    quoted = shown if "'" in shown else f"'{shown}'"
    return _RefusedError(message.format(quoted), node, fix)


def _option(node: ast.expr) -> Term:
    if isinstance(term := _term(node), Rest):
        raise _refused("{} cannot be an alternative", node)
    return term


def _inputs(args: list[ast.expr]) -> tuple[Term, ...]:
    terms = tuple(map(_term, args))
    for term, arg in zip(terms[:-1], args, strict=False):
        if isinstance(term, Rest):
            raise _refused("{} must be the last input", arg, "put it last")
    return terms


def _name(name: str, node: ast.expr) -> str:
    if name in _RESERVED:
        message = "{} has a meaning of its own and cannot be a name"
        raise _refused(message, node, "choose another name")
    if name[0].isupper():
        message = "{} is written like an op and cannot be a name"
        raise _refused(message, node, "begin it with a small letter")
    return name


def _named(value: ast.expr, name: str) -> Term:
    term = _term(value)
    if isinstance(term, Const) and not term.name:
        return Const(name)
    if not isinstance(term, Call):
        fix = "write the name itself, or an op or const after ':='"
        raise _RefusedError("only an op or const can be named with ':='", value, fix)
    return Call(term.ops, term.inputs, term.attributes, name)


def _ops(node: ast.expr) -> frozenset[str]:
    match node:
        case ast.Name(id=name) if name[0].isupper():
            return frozenset({_known(name, node)})
        case ast.Attribute(value=domain, attr=name):
            return frozenset({_known(f"{_domain(domain)}::{name}", node)})
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _ops(left) | _ops(right)
    fix = "ops begin with a capital, such as Conv"
    if isinstance(node, ast.Name):
        fix = nearest_op(node.id, otherwise=fix)
    raise _refused("{} is not an op", node, fix)


def _known(op: str, node: ast.expr) -> str:
    try:
        return known_op(op)
    except InvalidMatchError as reason:
        fix = reason.fix.replace("domain::Op", "domain.Op")
        raise _RefusedError(str(reason), node, fix) from None


def _domain(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=outer, attr=name):
            return f"{_domain(outer)}.{name}"
    raise _refused("{} is not a domain", node)


def _attribute(keyword: ast.keyword) -> tuple[str, Any]:
    if keyword.arg is None:
        raise _refused("a pattern cannot have '**' with {}", keyword.value)
    try:
        return keyword.arg, ast.literal_eval(keyword.value)
    except (ValueError, TypeError):
        message = "an attribute must be a literal value, not {}"
        fix = "write a number, a text in quotes or a list"
        raise _refused(message, keyword.value, fix) from None


def variables(term: Term) -> frozenset[str]:
    """Names that every match of the term binds."""
    match term:
        case Value(name) | Const(name) | Rest(name):
            return frozenset({name}) - {"", ANYTHING}
        case Call(inputs=inputs, name=name):
            own = frozenset({name}) - {"", ANYTHING}
            return own.union(*(variables(i) for i in inputs or ()))
        case Either(options):
            return frozenset.intersection(*(variables(o) for o in options))
    return frozenset()
