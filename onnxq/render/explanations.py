"""Explanations as text."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from onnxq.planning.explain import Explanation, RuleExplanation, SiteExplanation
from onnxq.planning.plan import Because, Kept
from onnxq.render.text import one_line


def explanations(console: Console, found: Iterable[Explanation]) -> None:
    """Print why inputs, ops or rules are as they are."""
    for one in found:
        for line in _lines(one):
            console.print(Text(one_line(line)), soft_wrap=True)


def _lines(found: Explanation) -> list[str]:
    match found:
        case RuleExplanation():
            return _rule(found)
        case Kept():
            return _kept(found)
        case _:
            return _site(found)


def _kept(kept: Kept) -> list[str]:
    told = "computes in fp32" if kept.keep else "may compute in half precision"
    return [
        f"{kept.node} {told} with --float fp16 or bf16",
        *_because("decided by", kept.because),
        *_overrides(kept.overrides),
    ]


def _site(site: SiteExplanation) -> list[str]:
    where = f"input[{site.edge.slot}] of {site.edge.node} reads {site.tensor}"
    if site.decision is None:
        told = [f"{where}: float, because no rule decides it"]
    else:
        told = [f"{where}: {site.descriptor}"]
        told += _because("decided by", site.decision.because)
        told += _overrides(site.decision.overrides)
    if site.group is not None:
        told += [f"  in a share group: {', '.join(site.group.tensors)}"]
        for because in dict.fromkeys(site.group.because):
            told += _because("tied by", because)
    return told


def _because(verb: str, because: Because) -> list[str]:
    told = [
        f"  {verb} {because.rule} ({because.span.place}) at {because.node}",
        f"    why: {' '.join(because.why.split())}",
    ]
    told += [f"    {name} = {', '.join(tensors)}" for name, tensors in because.bindings]
    return told


def _overrides(lost: tuple[Because, ...]) -> list[str]:
    return [f"  overrides {b.rule} ({b.span.place})" for b in reversed(lost)]


def _rule(found: RuleExplanation) -> list[str]:
    rule = found.rule
    told = [
        f"{rule.id} ({rule.span.place})",
        f"  why: {' '.join(rule.why.split())}",
    ]
    for node, binding in found.matched:
        names = (f"{name} = {', '.join(b.tensors)}" for name, b in sorted(binding.items()))
        told.append(f"  matches {node.type} {node.name}" + "".join(f"; {n}" for n in names))
    told += [f"  binds more than one way at {n.type} {n.name}" for n in found.ambiguous]
    told += [f"  cannot be matched: {d.message}" for d in found.failures]
    if not (found.matched or found.ambiguous or found.failures):
        told.append("  matches nothing in this model")
        if found.nearest is None:
            told.append("  no node has an op that it could match")
        else:
            node, missed = found.nearest
            told.append(f"  nearest: {node.type} '{node.name}', but {missed.text}")
    return told
