"""Sensitivity: the noise that each pair and each op brings to the outputs, ranked."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

from onnxq.diagnostics import Diagnostic
from onnxq.planning.plan import PairKind
from onnxq.shown import Shown, renderer

Estimator = Literal["gradients", "switches"]
Noise = tuple[float, ...]  # noise power / signal power of each part of the outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class PairNoise:
    """What one pair brings to the outputs when it is the only one.

    `nodes` read through it. `is_measured` says that it was run with the pair alone; else `noise` is
    an estimate from gradients, or from fewer samples than others.
    """

    tensor: str
    kind: PairKind
    descriptor: str
    nodes: tuple[str, ...]
    noise: Noise
    is_measured: bool

    @property
    def mean(self) -> float:
        """The mean over the parts."""
        return math.fsum(self.noise) / len(self.noise)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpNoise:
    """What the pairs that an op reads bring to the outputs: those on activations, and on weights.

    `shared` counts the other ops that read through the same activation pairs. `macs` are
    multiply-accumulates of one sample: 0 for an op that multiplies nothing, None where they are
    unknown; `weight_bytes` are those of the float weights.
    """

    node: str
    op: str
    activation: Noise
    weight: Noise
    shared: int
    macs: int | None
    weight_bytes: int

    @property
    def noise(self) -> Noise:
        """Of activations and weights together."""
        return tuple(a + w for a, w in zip(self.activation, self.weight, strict=True))

    @property
    def mean(self) -> float:
        """The mean over the parts."""
        return math.fsum(self.noise) / len(self.noise)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Sensitivity(Shown):
    """The pairs of a plan by the noise that each alone brings to the outputs, the worst first.

    Noise is relative: noise power / signal power of each of `parts`, which are outputs or groups of
    their channels. `total` is measured with all pairs at once. `ops` are the ops that read pairs,
    in graph order; an op with a pair that others read too has all of its noise. `estimator` says
    how the pairs were ranked, `measured_on` on how many of the `samples` the worst were measured.
    """

    model: str
    model_digest: str
    plan_digest: str
    recipe: str
    estimator: Estimator
    samples: int
    measured_on: int
    parts: tuple[str, ...]
    pairs: tuple[PairNoise, ...]
    ops: tuple[OpNoise, ...]
    total: Noise
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def added(self) -> Noise:
        """The noise of all pairs, added up."""
        return tuple(
            math.fsum(pair.noise[i] for pair in self.pairs) for i in range(len(self.parts))
        )

    @property
    def worst_ops(self) -> tuple[OpNoise, ...]:
        """The ops, the worst first."""
        return tuple(sorted(self.ops, key=lambda op: -op.mean))

    @property
    def half(self) -> tuple[PairNoise, ...]:
        """The fewest pairs that bring half of the noise, the worst first."""
        shares = accumulate(self.share(pair.noise) for pair in self.pairs)
        return self.pairs[: 1 + sum(1 for share in shares if share < 0.5)]

    def together(self, nodes: Collection[str]) -> Noise:
        """The noise of the pairs that some ops read; a pair that several of them read counts once.

        `nodes` are names.
        """
        wanted = frozenset(nodes)
        noises = [pair.noise for pair in self.pairs if not wanted.isdisjoint(pair.nodes)]
        return total_of(noises, len(self.parts))

    def share(self, noise: Noise) -> float:
        """The share of the noise of all pairs added up, in the mean over the parts, 0 to 1.

        Beside noise without end, all other noise is nothing.
        """
        whole, own = math.fsum(self.added), math.fsum(noise)
        if math.isinf(whole):
            return float(math.isinf(own))
        return own / whole if whole else 0.0

    def to_html(self) -> str:
        """The ranking as a page that loads nothing; OQ670 if Jinja or Vega is not installed."""
        return renderer().as_page(self)

    def to_dict(self) -> dict[str, Any]:
        """Every pair and op with its figures, and the totals; infinite ones are 'inf', '-inf'."""
        return {
            "model": self.model,
            "recipe": self.recipe,
            "estimator": self.estimator,
            "samples": self.samples,
            "measured_on": self.measured_on,
            "parts": [
                {
                    "name": name,
                    "noise": plain(self.total[i]),
                    "added_noise": plain(self.added[i]),
                    "sqnr_db": plain(decibel(self.total[i])),
                    "added_sqnr_db": plain(decibel(self.added[i])),
                }
                for i, name in enumerate(self.parts)
            ],
            "pairs": [
                {
                    "tensor": pair.tensor,
                    "kind": pair.kind,
                    "descriptor": pair.descriptor,
                    "nodes": list(pair.nodes),
                    "share": self.share(pair.noise),
                    "noise": list(map(plain, pair.noise)),
                    "sqnr_db": [plain(decibel(x)) for x in pair.noise],
                    "measured": pair.is_measured,
                }
                for pair in self.pairs
            ],
            "ops": [
                {
                    "node": op.node,
                    "op": op.op,
                    "share": self.share(op.noise),
                    "activation_share": self.share(op.activation),
                    "weight_share": self.share(op.weight),
                    "sqnr_db": [plain(decibel(x)) for x in op.noise],
                    "shared_with": op.shared,
                    "macs": op.macs,
                    "weight_bytes": op.weight_bytes,
                }
                for op in self.worst_ops
            ],
            "diagnostics": [d.to_dict() for d in self.diagnostics],
        }


def decibel(noise: float) -> float:
    """Signal power / noise power in dB: inf for no noise, -inf for noise without end."""
    return -10 * math.log10(noise) if 0 < noise < math.inf else -math.inf if noise else math.inf


def plain(value: float) -> float | str:
    """A figure for JSON, which knows no infinite ones: they are 'inf' and '-inf'."""
    return value if math.isfinite(value) else str(value)


def total_of(noises: Sequence[Noise], parts: int) -> Noise:
    """The sum of noises by part."""
    return tuple(math.fsum(noise[i] for noise in noises) for i in range(parts))
