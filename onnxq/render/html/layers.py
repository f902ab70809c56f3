"""The layer table and the decisions of the plan, as rows of the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from onnxq.planning.plan import Because, Line, Plan
from onnxq.render.html.subjects import Subject
from onnxq.verification.compiled import CompiledOp
from onnxq.verification.numeric import TensorComparison


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One weighted op of one model; SQNR in dB, None where it was not measured.

    `number` is its place among the weighted ops; `kind` is the data type, or what lint expects.
    """

    subject: Subject
    number: int
    node: str
    op: str
    kind: str
    reason: str
    macs: int | None
    layers: tuple[str, ...]
    local: float | None
    accumulated: float | None
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """One line of a plan, of an input or a whole op, with the rules that it overrides."""

    subject: Subject
    line: Line
    why: str
    overrides: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """A rule that decided some inputs: where it stands, and the reason that it gives."""

    name: str
    where: str
    why: str
    count: int


def layer_rows(subjects: Sequence[Subject]) -> tuple[LayerRow, ...]:
    """Every weighted op in node order, the models' rows of one op together."""
    rows = (row for subject in subjects for row in _of_model(subject))
    return tuple(sorted(rows, key=lambda row: row.number))  # stable: models stay in order


def _of_model(subject: Subject) -> Iterator[LayerRow]:
    numeric, compiled = subject.report.numeric, subject.report.compiled
    measured = {t.node: t for t in numeric.tensors if t.kind == "op"} if numeric else {}
    rules = _rules(subject)
    built = {op.node: op for op in compiled.ops} if compiled else {}
    for number, product in enumerate(subject.origin.products, start=1):
        op = built.get(product.node)
        local, accumulated = sqnr(measured.get(product.node))
        yield LayerRow(
            subject=subject,
            number=number,
            node=product.node,
            op=product.op,
            kind=(op.dtype or op.precision) if op else f"{product.expected}, expected",
            reason=op.reason if op else product.reason,
            macs=op.macs if op else product.macs,
            layers=_layers(op),
            local=local,
            accumulated=accumulated,
            rules=rules.get(product.node, ()),
        )


def _layers(op: CompiledOp | None) -> tuple[str, ...]:
    return op.layers if op else ()


def sqnr(found: TensorComparison | None) -> tuple[float | None, float | None]:
    """Local and accumulated SQNR of a pair or op, in dB."""
    if found is None:
        return None, None
    own = None if found.local is None else found.local.sqnr_db
    return own, found.accumulated.sqnr_db


def _rules(subject: Subject) -> Mapping[str, tuple[str, ...]]:
    """By node: the rules that decided its inputs."""
    found: dict[str, dict[str, None]] = {}
    for decision in subject.origin.plan.decisions if subject.origin.plan else ():
        found.setdefault(decision.edge.node, {})[decision.because.rule] = None
    return {node: tuple(rules) for node, rules in found.items()}


def decision_rows(subjects: Sequence[Subject]) -> tuple[DecisionRow, ...]:
    """Every decision of every known plan, on inputs and on whole ops."""
    return tuple(
        DecisionRow(subject=subject, line=line, why=because.why, overrides=_names(overrides))
        for subject in subjects
        if (plan := subject.origin.plan) is not None
        for line, (because, overrides) in zip(plan.lines, _reasons(plan), strict=True)
    )


def _reasons(plan: Plan) -> Iterator[tuple[Because, tuple[Because, ...]]]:
    """Which rule decided each line of a plan, and which lost."""
    yield from ((decision.because, decision.overrides) for decision in plan.decisions)
    yield from ((kept.because, kept.overrides) for kept in plan.kept)


def rule_rows(decisions: Sequence[DecisionRow]) -> tuple[RuleRow, ...]:
    """The rules of decisions, in the order of their first."""
    count = Counter((row.line.rule, row.line.where, row.why) for row in decisions)
    return tuple(
        RuleRow(name=name, where=where, why=why, count=number)
        for (name, where, why), number in count.items()
    )


def _names(overrides: Sequence[Because]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(because.rule for because in overrides))
