"""Explanations as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from rich.console import Console
from rich.text import Text

from onnxq.improvement.steps import Step
from onnxq.planning.explain import Explanation, RuleExplanation, SiteExplanation
from onnxq.planning.plan import Because, FloatChoice, Improvable, Kept
from onnxq.render.text import one_line

_OUTCOMES: Final[Mapping[FloatChoice, str]] = {
    "fp32": "computes in fp32",
    "half": "may compute in half precision",
    "prefer-half": "has no pairs, and computes in half precision,",
}


def explanations(console: Console, explained: Iterable[Explanation]) -> None:
    """Print explanations of inputs, ops or rules."""
    for explanation in explained:
        for line in _lines(explanation):
            console.print(Text(one_line(line)))


def _lines(explanation: Explanation) -> list[str]:
    match explanation:
        case RuleExplanation():
            return _rule(explanation)
        case Kept():
            return _kept(explanation)
        case Improvable():
            return _improvable(explanation)
        case _:
            return _site(explanation)


def _kept(kept: Kept) -> list[str]:
    outcome = _OUTCOMES[kept.choice]
    return [
        f"{kept.node} {outcome} with --float fp16 or bf16",
        *_because("decided by", kept.because),
        *_overrides(kept.overrides),
    ]


def _improvable(op: Improvable) -> list[str]:
    return [
        f"{op.node} may get {', '.join(op.improvers) or 'nothing'} from 'onnxq improve'",
        *_because("decided by", op.because),
        *_overrides(op.overrides),
    ]


def improved(console: Console, steps: Iterable[tuple[Step, str]]) -> None:
    """Print what each improver did to the target, with its gain over all ops."""
    for step, note in steps:
        text = f"{step.name}, {step.gain_db:+.2f} dB over all ops: {note}"
        console.print(Text(one_line(text)))


def _site(site: SiteExplanation) -> list[str]:
    where = f"input[{site.edge.slot}] of {site.edge.node} reads {site.tensor}"
    if site.decision is None:
        lines = [f"{where}: float, because no rule decides it"]
    else:
        lines = [f"{where}: {site.descriptor}"]
        lines += _because("decided by", site.decision.because)
        lines += _overrides(site.decision.overrides)
    if site.group is not None:
        lines += [f"  in a share group: {', '.join(site.group.tensors)}"]
        for tie in site.group.ties:
            first, *rest = _because("tied by", tie.because)
            lines += [first if tie.within is None else f"{first}, within {tie.within:g}", *rest]
    return lines


def _because(verb: str, because: Because) -> list[str]:
    lines = [
        f"  {verb} {because.rule} ({because.span.place}) at {because.node}",
        f"    why: {' '.join(because.why.split())}",
    ]
    lines += [f"    {name} = {', '.join(tensors)}" for name, tensors in because.bindings]
    return lines


def _overrides(lost: tuple[Because, ...]) -> list[str]:
    return [f"  overrides {b.rule} ({b.span.place})" for b in reversed(lost)]


def _rule(explanation: RuleExplanation) -> list[str]:
    rule = explanation.rule
    lines = [
        f"{rule.id} ({rule.span.place})",
        f"  why: {' '.join(rule.why.split())}",
    ]
    for node, binding in explanation.matched:
        names = (f"{name} = {', '.join(b.tensors)}" for name, b in sorted(binding.items()))
        lines.append(f"  matches {node.type} {node.name}" + "".join(f"; {n}" for n in names))
    lines += [f"  binds more than one way at {n.type} {n.name}" for n in explanation.ambiguous]
    lines += [f"  cannot be matched: {d.message}" for d in explanation.failures]
    if not (explanation.matched or explanation.ambiguous or explanation.failures):
        lines.append("  matches nothing in this model")
        if explanation.nearest is None:
            lines.append("  no node has an op that it could match")
        else:
            node, missed = explanation.nearest
            lines.append(f"  nearest: {node.type} '{node.name}', but {missed.text}")
    return lines
