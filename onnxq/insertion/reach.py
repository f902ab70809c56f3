"""Plan x statistics -> the plan without what could not be observed: nodes stay float as a whole."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import Diagnostic, counted, warning
from onnxq.planning.plan import Pair, Plan

_FEW: Final = 6  # names of tensors in a message


def within_reach(plan: Plan, statistics: Statistics) -> tuple[Plan, list[Diagnostic]]:
    """Leave out nodes behind an op that onnxruntime could not run, and name them (OQ322).

    Nodes whose ranges are fixed stay.
    """
    behind: dict[str, list[Pair]] = {}
    for pair in plan.pairs:
        is_open = pair.kind == "activation" and not pair.existing and pair.descriptor.amax is None
        if is_open and (culprit := statistics.unobserved.get(pair.tensor)) is not None:
            behind.setdefault(culprit, []).append(pair)
    nodes = {edge.node for pairs in behind.values() for pair in pairs for edge in pair.edges}
    left_in_float = [_stays_float(culprit, pairs) for culprit, pairs in behind.items()]
    return (without_nodes(plan, nodes), left_in_float) if left_in_float else (plan, [])


def without_nodes(plan: Plan, nodes: Collection[str]) -> Plan:
    """The plan without the pairs of some nodes."""
    reduced = (
        replace(pair, edges=tuple(e for e in pair.edges if e.node not in nodes))
        for pair in plan.pairs
    )
    return replace(plan, pairs=tuple(pair for pair in reduced if pair.edges))


def _stays_float(culprit: str, pairs: list[Pair]) -> Diagnostic:
    tensors = list(dict.fromkeys(pair.tensor for pair in pairs))
    nodes = {edge.node for pair in pairs for edge in pair.edges}
    names = ", ".join(f"'{name}'" for name in tensors[:_FEW]) + (", ..." * (len(tensors) > _FEW))
    return warning(
        "OQ322",
        f"{counted(len(nodes), 'op')} behind {culprit} {'stays' if len(nodes) == 1 else 'stay'} in "
        f"float, because the calibration could not observe {names}",
        fix="calibrate with --ort-library and the library that has the op, or skip them in the "
        "recipe",
    )
