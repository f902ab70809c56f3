"""Trained: a Q/DQ model after training, how it went, and what it gained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnx import ModelProto

from onnxq.diagnostics import Diagnostic
from onnxq.shown import Shown
from onnxq.training.epochs import Epoch, figure, row


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Figures of a model, as it is written, on the samples held out.

    `sqnr_db` has the SQNR of each part of the outputs, `score` what the metric gives, if any.
    """

    sqnr_db: Mapping[str, float]
    score: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The figures; None for one that is not finite."""
        return {
            "sqnr_db": {n: db if math.isfinite(db) else None for n, db in self.sqnr_db.items()},
            "score": self.score,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Trained(Shown):
    """What `train` came to.

    `proto` is the model with the numbers of the `best` of the epochs, by the figure of the samples
    held out; number 0 is the model as it was. `unit` says what that figure is: "dB", "loss", or the
    name of the metric. `learned` is how many tensors learned, `samples` counts those that were
    trained on and those held out.
    """

    proto: ModelProto = field(repr=False)
    model: str
    teacher: str
    unit: str
    epochs: tuple[Epoch, ...]
    before: Measured
    after: Measured
    samples: tuple[int, int]
    learned: int
    path: Path | None = None
    log: Path | None = None
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def best(self) -> Epoch:
        """The epoch whose numbers the model has."""
        return min(self.epochs, key=lambda epoch: epoch.held_out)

    def figure(self, epoch: Epoch) -> float:
        """The figure of an epoch on the samples held out, in `unit`."""
        return figure(epoch.held_out, self.unit)

    def to_dict(self) -> dict[str, Any]:
        """The figures before and after, and every epoch."""
        return {
            "output": None if self.path is None else str(self.path),
            "model": self.model,
            "teacher": self.teacher,
            "unit": self.unit,
            "samples": dict(zip(("trained", "held_out"), self.samples, strict=True)),
            "learned": self.learned,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "best_epoch": self.best.number,
            "epochs": [row(epoch, self.unit) for epoch in self.epochs],
            "log": None if self.log is None else str(self.log),
            "diagnostics": [d.to_dict() for d in self.diagnostics],
        }
