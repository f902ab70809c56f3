"""The epochs of a training, and the log of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One pass over the samples; number 0 is before the first.

    `loss` is the mean over its batches, `held_out` the figure of the samples held out, of which
    less is better. `rate` multiplied the usual rates at its end.
    """

    number: int
    loss: float
    held_out: float
    rate: float
    seconds: float


def figure(held_out: float, unit: str) -> float:
    """What people read of an epoch: dB, the loss itself, or the score, whose negative is kept."""
    if unit == "dB":
        return -10 * math.log10(held_out) if held_out > 0 else math.inf
    return held_out if unit == "loss" else -held_out


def row(epoch: Epoch, unit: str) -> dict[str, Any]:
    """An epoch as plain values; None for what it does not have."""
    values = {
        "epoch": epoch.number,
        "loss": epoch.loss,
        "held_out": figure(epoch.held_out, unit),
        "rate": epoch.rate,
        "seconds": round(epoch.seconds, 1),
    }
    return {name: v if math.isfinite(v) else None for name, v in values.items()}


def log_text(epochs: Sequence[Epoch], unit: str) -> str:
    """The epochs as CSV; a cell is empty where there is no number."""
    rows = [row(epoch, unit) for epoch in epochs]
    lines = [f"epoch,loss,held_out_{unit},rate,seconds"]
    lines += [",".join("" if v is None else f"{v:g}" for v in values.values()) for values in rows]
    return "\n".join(lines) + "\n"
