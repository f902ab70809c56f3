"""What one improver did, in figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxq.planning.improvers import ImproverName


def decibel(loss: float) -> float:
    """A loss, noise power / signal power, as SQNR in dB."""
    return -10 * math.log10(loss) if loss > 0 else math.inf


def finite_decibel(loss: float) -> float | None:
    """A loss in dB; None where that is not finite."""
    value = decibel(loss)
    return value if math.isfinite(value) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one improver did.

    `loss_before` and `loss_after` are those of the samples that it was not fitted on. It is `kept`
    where they got better. `ops` counts the ops that it could act on, `changed` the tensors that it
    changed. `notes` say what was done to an op, by node name; `why` says why nothing was kept.
    """

    name: ImproverName
    ops: int
    changed: int
    loss_before: float
    loss_after: float
    kept: bool
    why: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self, *, own_loss: bool = False) -> dict[str, Any]:
        """What it did; losses also as SQNR in dB, unless they are those of a user.

        A figure that is not finite is None.
        """
        before, after = self.loss_before, self.loss_after
        decibels = {
            "before_db": None if own_loss else finite_decibel(before),
            "after_db": None if own_loss else finite_decibel(after),
        }
        return {
            "name": self.name,
            "ops": self.ops,
            "changed": self.changed,
            "loss_before": before if math.isfinite(before) else None,
            "loss_after": after if math.isfinite(after) else None,
            **decibels,
            "kept": self.kept,
            "why": self.why,
            "notes": dict(self.notes),
        }

    @property
    def gain_db(self) -> float:
        """The gain of all samples that judged it; 0 where it was taken back."""
        gain = decibel(self.loss) - decibel(self.loss_before)
        return gain if math.isfinite(gain) else 0.0

    @property
    def loss(self) -> float:
        """The loss once it was kept or taken back."""
        return self.loss_after if self.kept else self.loss_before
