"""Which ops to put into float first: orders, and the models that they lead to.

Ops are those with multiply-accumulates and pairs; one that goes into float loses the pairs that it
reads, which stay for others. An order is followed until a budget of multiply-accumulates is spent;
ops that do not fit into what is left are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from rankings import Case, Ranking

from onnxq.diagnostics import OnnxqError
from onnxq.feeds.samples import Sample
from onnxq.improvement.subject import Subject
from onnxq.sensitivities.sensitivity import Sensitivity
from onnxq.verification.numeric.compare import compare_all

BUDGETS = (0.01, 0.02, 0.05, 0.1, 0.2)  # of the multiply-accumulates in float
SEEDS = (0, 1, 2)
PER_MAC = ("gradients", "switches", "truth", "leave-one-out")
Ops = frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Orders:
    """All orders of the ops of a case."""

    case: Case
    macs: dict[str, int]

    @classmethod
    def of(cls, case: Case, sensitivity: Sensitivity) -> Orders:
        """The ops with multiply-accumulates that read pairs."""
        return cls(case=case, macs={op.node: op.macs for op in sensitivity.ops if op.macs})

    def skipped(self, rankings: dict[str, Ranking]) -> dict[str, list[Ops]]:
        """The ops in float for each order and budget."""
        orders = {
            **{way: self._per_mac(rankings[way].noise) for way in PER_MAC},
            "magnitude": self._by_magnitude(),
            **{f"random {seed}": self._random(seed) for seed in SEEDS},
        }
        return {
            name: [self._filled(order, budget) for budget in BUDGETS]
            for name, order in orders.items()
        }

    def _per_mac(self, noise: np.ndarray) -> list[str]:
        """By the noise of all pairs that an op reads over its multiply-accumulates."""
        of_ops = dict.fromkeys(self.macs, 0.0)
        for pair, value in zip(self.case.subject.scales.by_pair, noise, strict=True):
            for node in {edge.node for edge in pair.edges} & set(of_ops):
                of_ops[node] += value
        return sorted(self.macs, key=lambda op: -of_ops[op] / self.macs[op])

    def _by_magnitude(self) -> list[str]:
        """By the largest amax of an activation that an op reads through a pair."""
        largest = dict.fromkeys(self.macs, 0.0)
        for pair, scale in self.case.subject.scales.by_pair.items():
            for edge in pair.edges if pair.kind == "activation" else ():
                if edge.node in largest:
                    largest[edge.node] = max(largest[edge.node], float(np.max(scale)))
        return sorted(self.macs, key=lambda op: -largest[op])

    def _random(self, seed: int) -> list[str]:
        return list(np.random.default_rng(seed).permutation(list(self.macs)))

    def _filled(self, order: Iterable[str], budget: float) -> Ops:
        """The ops in the order, as far as the budget reaches."""
        chosen, left = set(), budget * sum(self.macs.values())
        for op in order:
            if self.macs[op] <= left:
                chosen.add(op)
                left -= self.macs[op]
        return frozenset(chosen)


def without(subject: Subject, ops: Ops) -> Subject:
    """The subject with some ops in float."""
    by_pair = {
        replace(pair, edges=edges): scale
        for pair, scale in subject.scales.by_pair.items()
        if (edges := tuple(edge for edge in pair.edges if edge.node not in ops))
    }
    scales = replace(subject.scales, by_pair=by_pair)
    return replace(subject, scales=scales, plan=scales.carried_out(subject.plan))


class Scoring:
    """The SQNR of the worst part with some ops in float, each set of them measured once."""

    def __init__(self, subject: Subject, model: Path, feed: Sequence[Sample]) -> None:
        self._subject, self._model, self._feed = subject, onnx.load(model), feed
        self._known: dict[Ops, float] = {}

    def sqnr_db(self, sets: Sequence[Ops]) -> list[float]:
        """Of the Q/DQ models as written, on the samples to judge by."""
        new = [ops for ops in dict.fromkeys(sets) if ops not in self._known]
        models = [without(self._subject, ops).quantized() for ops in new]
        reports = compare_all(self._model, models, self._feed) if models else ()
        for ops, report in zip(new, reports, strict=True):
            if not hasattr(report, "sqnr_db"):
                raise OnnxqError(report)
            self._known[ops] = report.sqnr_db
        return [self._known[ops] for ops in sets]
