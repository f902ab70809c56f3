"""Tuned: the recipe that reaches a goal, what was tried, and the verdict on other samples."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxq.diagnostics import Diagnostic
from onnxq.improvement.improvement import Improvement
from onnxq.shown import Shown, renderer
from onnxq.tuning.goal import Figures, Goal
from onnxq.tuning.reasons import Reason
from onnxq.tuning.recipe_text import FloatRule
from onnxq.tuning.search import Trial


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Tuned(Shown):
    """What `tune` came to.

    `before` are the figures of the recipe as it was, `verdict` those of the tuned one, both on
    samples that neither improvers nor the search saw; `looks` is how often a verdict was taken.
    `least` is the figure to reach there, `float_score` that of the float model where the goal is a
    metric. `parts` are those of the outputs there, `search_parts` those of the search. `trials` are
    the models that were tried, from the most in INT8 to the least, with figures of other samples;
    `chosen` is one of them. `rules` are what the tuned recipe adds to `extends`, each with one
    of the `reasons`. `samples` counts those to fit on, to search with, and for the verdict.
    `calibration` is the file to insert with.
    """

    goal: Goal
    model: str
    extends: str
    parts: tuple[str, ...]
    search_parts: tuple[str, ...]
    before: Figures
    verdict: Figures
    looks: int
    least: float | None
    float_score: float | None
    samples: tuple[int, int, int]
    trials: tuple[Trial, ...]
    chosen: Trial
    rules: tuple[FloatRule, ...]
    reasons: tuple[Reason, ...]
    text: str
    improvement: Improvement | None = field(compare=False)
    calibration: Path | None = None
    path: Path | None = None
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the goal is reached on the samples of the verdict."""
        is_good = self.least is None or self.verdict.figure >= self.least
        return is_good and self.chosen.int8 >= self.goal.min_int8

    @property
    def frontier(self) -> tuple[Trial, ...]:
        """The trials than which no other has more in INT8 and a better figure."""
        frontier: list[Trial] = []
        for trial in sorted(self.trials, key=lambda t: (-t.int8, -t.figures.figure)):
            if not frontier or trial.figures.figure > frontier[-1].figures.figure:
                frontier.append(trial)
        return tuple(frontier)

    def to_html(self) -> str:
        """The trade as a page that loads nothing; OQ670 if Jinja or Vega is not installed."""
        return renderer().as_page(self)

    def to_dict(self) -> dict[str, Any]:
        """The verdict, the rules, and everything that was tried."""
        return {
            "passed": self.passed,
            "model": self.model,
            "goal": {
                "least": None if self.least is None else _finite(self.least),
                "drop": self.goal.drop,
                "metric": None if self.goal.scorer is None else self.goal.scorer.name,
                "min_int8": self.goal.min_int8,
            },
            "recipe": None if self.path is None else str(self.path),
            "extends": self.extends,
            "improvement": None
            if self.improvement is None or self.improvement.path is None
            else str(self.improvement.path),
            "float_score": self.float_score,
            "samples": dict(zip(("fitted", "searched", "verdict"), self.samples, strict=True)),
            "before": _figures(self.before, self.parts),
            "verdict": {**_figures(self.verdict, self.parts), "looks": self.looks},
            "chosen": self._trial(self.chosen),
            "trials": [self._trial(trial) for trial in self.trials],
            "rules": [
                {
                    "id": rule.id,
                    "nodes": list(rule.nodes),
                    "why": rule.why,
                    "part": reason.part,
                    "share": reason.share,
                    "sqnr_db": _finite(reason.sqnr_db),
                    "macs": reason.macs,
                }
                for rule, reason in zip(self.rules, self.reasons, strict=True)
            ],
            "diagnostics": [d.to_dict() for d in self.diagnostics],
        }

    def _trial(self, trial: Trial) -> dict[str, Any]:
        return {
            "float_ops": sum(len(unit.nodes) for unit in trial.units),
            "int8_macs": trial.int8,
            "conversions": trial.conversions,
            **_figures(trial.figures, self.search_parts),
        }


def _figures(figures: Figures, parts: tuple[str, ...]) -> dict[str, Any]:
    return {
        "figure": _finite(figures.figure),
        "standard_error_db": _finite(figures.error_db),
        "sqnr_db": {n: _finite(db) for n, db in zip(parts, figures.sqnr_db, strict=True)},
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
