"""Plan x ranges -> the plan with the ties that hold: scales are shared where ranges allow it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from onnxq.diagnostics import Diagnostic, Severity, warning
from onnxq.formats import FORMATS, DType
from onnxq.model.graph import Edge
from onnxq.planning.plan import Group, Pair, Plan, Tie
from onnxq.planning.ties import joined
from onnxq.quantization import SMALLEST_AMAX

_COARSE: Final = 8.0  # from here on an unlimited tie is reported: 18 dB, three of the eight bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Untied:
    """A tensor that left a tie; the range of `widest` is `ratio` times as large as its own."""

    tensor: str
    tie: Tie
    widest: str
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Loosened:
    """A plan with the groups that ranges left, and the tensors that have a scale of their own."""

    plan: Plan
    untied: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]


def settled(ties: Sequence[Tie], ranges: Mapping[str, float]) -> tuple[list[Tie], list[Untied]]:
    """Take tensors out of ties until in every group the ranges are within the limits of its ties.

    `ranges` has the amax of the tensors that have a pair. One that is too small for its group
    first leaves its ties with tensors that stay, so that it stays tied to what is as small as it.
    """
    ties = list(ties)
    untied: list[Untied] = []
    while leaving := [left for group in joined(ties) for left in _leaving(group, ranges)]:
        untied += leaving
        gone = {(left.tie, left.tensor) for left in leaving}
        ties = [
            replace(tie, tensors=tuple(t for t in tie.tensors if (tie, t) not in gone))
            for tie in ties
        ]
    return ties, untied


def _leaving(group: Group, ranges: Mapping[str, float]) -> list[Untied]:
    known = {t: ranges[t] for t in group.tensors if ranges.get(t, 0) > SMALLEST_AMAX}
    if not known:
        return []
    widest = max(known, key=lambda t: known[t])
    narrow = [
        Untied(tensor=t, tie=tie, widest=widest, ratio=known[widest] / known[t])
        for tie in group.ties
        if tie.within is not None
        for t in tie.tensors
        if t in known and known[t] * tie.within < known[widest]
    ]
    too_small = {left.tensor for left in narrow}
    return [left for left in narrow if known.keys() & set(left.tie.tensors) - too_small] or narrow


def loosened(plan: Plan, ranges: Mapping[str, float]) -> Loosened:
    """Take tensors out of share groups that their ranges do not allow (OQ457); OQ458 of others.

    `ranges` has the amax of every tensor with a pair, by its own values. The op of a tie still
    reads what left it with the scale of the group; only other readers have the tensor's own scale.
    """
    before = [tie for group in plan.groups for tie in group.ties]
    after, untied = settled(before, ranges)
    if not untied:
        return Loosened(plan=plan, untied=(), diagnostics=tuple(_coarse(plan, ranges)))
    groups = joined(after, least=1)
    of_tensor = {t: index for index, group in enumerate(groups) for t in group.tensors}
    left = {(u.tensor, u.tie.because.node) for u in untied}
    stays_at = {
        old.because.node: new.tensors[0]
        for old, new in zip(before, after, strict=True)
        if old != new and new.tensors
    }

    def group_at(pair: Pair, edge: Edge) -> int | None:
        is_left = pair.existing is None and (pair.tensor, edge.node) in left
        return of_tensor.get(stays_at.get(edge.node, "") if is_left else pair.tensor)

    pairs = tuple(
        part
        for pair in plan.pairs
        for part in ([pair] if pair.group is None else _by_group(pair, group_at))
    )
    loose = replace(plan, pairs=pairs, groups=groups)
    apart = [u for u in _first(untied) if _readers_outside(loose, u.tensor)]
    return Loosened(
        plan=loose,
        untied=tuple(u.tensor for u in apart),
        diagnostics=(*map(_kept_apart, apart), *_coarse(loose, ranges)),
    )


def _first(untied: Sequence[Untied]) -> tuple[Untied, ...]:
    """Of each tensor the first tie that it left."""
    return tuple({u.tensor: u for u in reversed(untied)}.values())[::-1]


def _by_group(pair: Pair, group_at: Callable[[Pair, Edge], int | None]) -> Iterator[Pair]:
    """The pair once for each group that one of its edges is in."""
    edges: dict[int | None, list[Edge]] = {}
    for edge in pair.edges:
        edges.setdefault(group_at(pair, edge), []).append(edge)
    for group, members in edges.items():
        yield replace(pair, edges=tuple(members), group=group)


def _kept_apart(left: Untied) -> Diagnostic:
    tie = left.tie
    return Diagnostic(
        code="OQ457",
        message=f"rule '{tie.because.rule}' ({tie.because.span.place}) does not tie "
        f"'{left.tensor}' at '{tie.because.node}': the range of '{left.widest}' is "
        f"{left.ratio:.3g} times as large, over the limit of {tie.within:g}; it keeps its own "
        "scale and is stored once more",
        fix="do nothing, or tie it by a rule with a larger 'within'",
        severity=Severity.INFO,
    )


def _coarse(plan: Plan, ranges: Mapping[str, float]) -> Iterator[Diagnostic]:
    """OQ458 for tensors that a tie without a limit leaves few steps."""
    for group in plan.groups:
        widest = max(group.tensors, key=lambda t: ranges.get(t, 0))
        for tensor in group.tensors:
            named = [tie for tie in group.ties if tensor in tie.tensors]
            if (
                any(tie.within is not None for tie in named)
                or not ranges.get(tensor, 0) > SMALLEST_AMAX
                or (ratio := ranges[widest] / ranges[tensor]) <= _COARSE
                or not _readers_outside(plan, tensor)
                or not FORMATS[_type(plan, tensor)].is_integer
            ):
                continue
            because, steps = named[0].because, FORMATS[_type(plan, tensor)].largest
            yield warning(
                "OQ458",
                f"rule '{because.rule}' ({because.span.place}) gives '{tensor}' the scale of "
                f"'{widest}', whose range is {ratio:.3g} times as large: {steps / ratio:.2g} of "
                f"{steps:g} steps are left for it",
                fix="limit the tie, 'share_scale: {ports: ..., within: 3}', or untie it with "
                f"'share_scale: []' at '{because.node}'",
            )


def _readers_outside(plan: Plan, tensor: str) -> bool:
    """True when an op that does not tie the tensor reads it through a pair."""
    ties = (tie for group in plan.groups for tie in group.ties)
    nodes = {tie.because.node for tie in ties}
    return any(
        edge.node not in nodes
        for pair in plan.pairs
        if pair.tensor == tensor and pair.kind == "activation"
        for edge in pair.edges
    )


def _type(plan: Plan, tensor: str) -> DType:
    return next(p.descriptor.dtype for p in plan.pairs if p.tensor == tensor)
