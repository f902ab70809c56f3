"""What a tuned model has to reach, and how far a model is from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx

from onnxq.diagnostics import error
from onnxq.feeds.samples import Sample
from onnxq.improvement.edits import Array
from onnxq.improvement.loss import Judge
from onnxq.sensitivities.judged import JudgedParts, OtherShapeError
from onnxq.sensitivities.measuring import noise_rows
from onnxq.sensitivities.sensitivity import decibel
from onnxq.tuning.metrics.scoring import Scorer


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The least figure: SQNR in dB of the worst part, or what `scorer` gives; more is better.

    `drop` is how far below the score of the float model it may be instead. Without both the best
    figure is wanted. `min_int8` is the least share of multiply-accumulates in INT8, 0 to 1.
    """

    least: float | None = None
    drop: float | None = None
    scorer: Scorer | None = None
    min_int8: float = 0.0

    @property
    def unit(self) -> str:
        """What figures are in."""
        return "dB" if self.scorer is None else self.scorer.name

    def number(self, figure: float) -> str:
        """A figure for people, without its unit."""
        return f"{figure:.2f}" if self.scorer is None else f"{figure:.4g}"

    def text(self, figure: float) -> str:
        """A figure for people."""
        return f"{self.number(figure)} dB" if self.scorer is None else self.number(figure)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How good a model is on some samples: the figure of the goal, and the SQNR of each part.

    `error_db` is the standard error over the samples of the SQNR of the worst part.
    """

    figure: float
    sqnr_db: tuple[float, ...]
    error_db: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Bench:
    """Samples that models are judged on."""

    goal: Goal
    samples: Sequence[Sample]
    judge: Judge

    @cached_property
    def parts(self) -> JudgedParts:
        """The parts of the outputs."""
        return JudgedParts.of(self.judge)

    @cached_property
    def float_score(self) -> float | None:
        """What the metric gives for the float model; None without a metric."""
        scorer = self.goal.scorer
        if scorer is None:
            return None
        return scorer.score(self.judge.model, self.samples, self.judge.libraries)

    @cached_property
    def least(self) -> float | None:
        """The figure to reach on these samples."""
        if self.goal.drop is None or self.float_score is None:
            return self.goal.least
        return self.float_score - self.goal.drop

    def noise(self, model: onnx.ModelProto) -> Array:
        """Noise power / signal power: a row for each sample, a column for each part."""
        try:
            return noise_rows(self.judge, self.parts, model)
        except OtherShapeError as other:
            raise error(
                "OQ481",
                f"'{other.args[0]}' has another shape with pairs: it cannot be compared",
                fix="leave that output out of the model that you tune",
            ) from None

    def figures(self, model: onnx.ModelProto) -> tuple[Figures, Array]:
        """The figures of a Q/DQ model, and its noise."""
        noise = self.noise(model)
        sqnr = tuple(decibel(float(x)) for x in noise.mean(axis=0))
        figure = min(sqnr, default=math.inf)
        if self.goal.scorer is not None:
            figure = self.goal.scorer.score(model, self.samples, self.judge.libraries)
        return Figures(figure=figure, sqnr_db=sqnr, error_db=_error_db(noise)), noise


def _error_db(noise: Array) -> float:
    """The standard error of the SQNR of the worst part, in dB, over the samples."""
    worst = noise[:, int(np.argmax(noise.mean(axis=0)))]
    mean = float(worst.mean())
    if len(worst) < 2 or not 0 < mean < math.inf:
        return 0.0
    error = float(worst.std(ddof=1)) / math.sqrt(len(worst))
    return 10 * math.log10(1 + error / mean)
