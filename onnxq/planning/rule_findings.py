"""What is odd about rules on a model, as diagnostics."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from onnxq.diagnostics import Diagnostic, Severity, warning
from onnxq.model.graph import Edge, Node
from onnxq.planning.plan import Because, Decision, Group, Improvable, Kept
from onnxq.planning.recipe import Recipe
from onnxq.planning.rule_compiler import Rule
from onnxq.planning.selectors import Binding


def unmatched(rule: Rule, *, ambiguous: bool) -> Diagnostic:
    """OQ201 for a rule that applies to no node."""
    outcome = "is ambiguous wherever it matches" if ambiguous else "matched nothing in this model"
    return Diagnostic(
        code="OQ201",
        message=f"rule '{rule.id}' {outcome}",
        fix=_explain(rule),
        severity=Severity.ERROR if rule.required else Severity.WARNING,
        span=rule.span,
    )


def _explain(rule: Rule) -> str:
    if rule.span.path:  # made in Python: there is no file for the command line
        return f"explain '{rule.id}' to see the nearest node"
    file = shlex.quote(rule.span.file) if rule.own else "FILE"
    command = f"onnxq explain MODEL {shlex.quote(rule.id)} --rules {file}"
    return f"'{command}' shows how near it came"


def ambiguous(rule: Rule, node: Node, ways: list[Binding]) -> Diagnostic:
    """OQ202 for a node at which a rule binds more than one way."""
    tensors = [{name: bound.tensors for name, bound in way.items()} for way in ways[:2]]
    name = min(n for n in {*tensors[0], *tensors[1]} if tensors[0].get(n) != tensors[1].get(n))
    first, second = ("', '".join(way[name]) if name in way else "nothing" for way in tensors)
    return warning(
        "OQ202",
        f"rule '{rule.id}' binds {len(ways)} ways at {node.op} '{node.name}': "
        f"'{name}' can be '{first}' or '{second}'; not applied there",
        fix="say more in its pattern so that one way is left",
        span=rule.span,
    )


def absent(rule: Rule, port: str, nodes: list[Node]) -> Diagnostic:
    """OQ207 for nodes that lack a port of a rule."""
    others = "" if len(nodes) == 1 else f" and {len(nodes) - 1} more"
    have = "does" if len(nodes) == 1 else "do"
    return warning(
        "OQ207",
        f"rule '{rule.id}' names {port}, which {nodes[0].op} '{nodes[0].name}'{others} "
        f"{have} not have",
        fix="name a port that every matched node has, or narrow 'match'",
        span=rule.span,
    )


def decided_twice(rule: Rule, edge: Edge, first: str, second: str) -> Diagnostic:
    """OQ209 for a rule that decides an input twice."""
    return Diagnostic(
        code="OQ209",
        message=f"rule '{rule.id}' decides input[{edge.slot}] of '{edge.node}' twice, "
        f"as {first} and as {second}",
        fix="name each input once",
        span=rule.span,
    )


def after_skip(edge: Edge, winner: Because, skip: Because, count: int) -> Diagnostic:
    """OQ211 for inputs that a later rule of the user quantizes."""
    others = "" if count == 1 else f" and {count - 1} more"
    return warning(
        "OQ211",
        f"rule '{winner.rule}' quantizes input[{edge.slot}] of '{edge.node}'{others}, "
        f"which rule '{skip.rule}' ({skip.span.place}) skips",
        fix="put the skip after it, or narrow one of the two",
        span=winner.span,
    )


def overridden(
    recipe: Recipe, decisions: tuple[Decision | Kept | Improvable, ...], groups: tuple[Group, ...]
) -> Iterator[Diagnostic]:
    """OQ210 for the user's rules whose decisions later rules override one and all."""
    losers = {lost.span: d.because for d in decisions for lost in d.overrides}
    winners = {d.because.span for d in decisions} | {b.span for g in groups for b in g.because}
    for rule in recipe.rules:
        if rule.own and rule.span in losers and rule.span not in winners:
            later = losers[rule.span]
            yield warning(
                "OQ210",
                f"everything that rule '{rule.id}' decides is overridden, as by '{later.rule}'",
                fix="move it after that rule, or delete it",
                span=rule.span,
            )
