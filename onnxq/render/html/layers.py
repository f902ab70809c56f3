"""The layer table and the decisions of the plan, as rows of the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from onnxq.planning.plan import Because, Line, Plan
from onnxq.render.html.page_models import PageModel
from onnxq.verification.compiled import CompiledOp
from onnxq.verification.numeric import TensorComparison


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One weighted op of one model; SQNR in dB, None where it was not measured.

    `number` is its place among the weighted ops; `kind` is the data type in the engine, or the one
    that lint expects without an engine.
    """

    model: PageModel
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

    model: PageModel
    line: Line
    why: str
    overrides: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """A rule that decided `count` inputs: its name, its place in the file and its reason."""

    name: str
    where: str
    why: str
    count: int


def layer_rows(models: Sequence[PageModel]) -> tuple[LayerRow, ...]:
    """Every weighted op in node order; the rows of all models for one op are together."""
    rows = (row for model in models for row in _of_model(model))
    return tuple(sorted(rows, key=lambda row: row.number))  # stable: models stay in order


def _of_model(model: PageModel) -> Iterator[LayerRow]:
    numeric, compiled = model.report.numeric, model.report.compiled
    measured = {t.node: t for t in numeric.tensors if t.kind == "op"} if numeric else {}
    rules = _rules(model)
    built = {op.node: op for op in compiled.ops} if compiled else {}
    for number, product in enumerate(model.origin.products, start=1):
        op = built.get(product.node)
        local, accumulated = sqnr(measured.get(product.node))
        yield LayerRow(
            model=model,
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


def sqnr(comparison: TensorComparison | None) -> tuple[float | None, float | None]:
    """Local and accumulated SQNR of a pair or op, in dB."""
    if comparison is None:
        return None, None
    own = None if comparison.local is None else comparison.local.sqnr_db
    return own, comparison.accumulated.sqnr_db


def _rules(model: PageModel) -> Mapping[str, tuple[str, ...]]:
    """By node: the rules that decided its inputs."""
    by_node: dict[str, dict[str, None]] = {}
    for decision in model.origin.plan.decisions if model.origin.plan else ():
        by_node.setdefault(decision.edge.node, {})[decision.because.rule] = None
    return {node: tuple(rules) for node, rules in by_node.items()}


def decision_rows(models: Sequence[PageModel]) -> tuple[DecisionRow, ...]:
    """Every decision of every known plan, on inputs and on whole ops."""
    return tuple(
        DecisionRow(model=model, line=line, why=because.why, overrides=_names(overrides))
        for model in models
        if (plan := model.origin.plan) is not None
        for line, (because, overrides) in zip(plan.lines, _reasons(plan), strict=True)
    )


def _reasons(plan: Plan) -> Iterator[tuple[Because, tuple[Because, ...]]]:
    """The rule that decided each line of a plan, and the rules that it overrides."""
    yield from ((decision.because, decision.overrides) for decision in plan.decisions)
    yield from ((tie.because, ()) for tie, _ in plan.labelled_ties())
    yield from ((kept.because, kept.overrides) for kept in plan.kept)


def rule_rows(decisions: Sequence[DecisionRow]) -> tuple[RuleRow, ...]:
    """The rules of the decisions, in the order of the first decision of each."""
    count = Counter((row.line.rule, row.line.where, row.why) for row in decisions)
    return tuple(
        RuleRow(name=name, where=where, why=why, count=number)
        for (name, where, why), number in count.items()
    )


def _names(overrides: Sequence[Because]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(because.rule for because in overrides))
