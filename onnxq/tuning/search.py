"""Find the fewest units in float with which a model reaches a goal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import onnx

from onnxq.improvement.edits import Array
from onnxq.tuning.goal import Bench, Figures, Goal
from onnxq.tuning.units import Unit, Units

TRIALS: Final = 10  # for one aim
# Arguments: the number of trials so far, and about how many there will be.
OnTrial = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A model with the first units of the order in float, and how good it is.

    `int8` is the share of multiply-accumulates in INT8, `conversions` how many tensors change
    between INT8 and float because of the float units.
    """

    units: tuple[Unit, ...]
    int8: float
    conversions: int
    figures: Figures


@dataclass(kw_only=True, eq=False)
class Search:
    """Trials of one order of units; each is made once."""

    goal: Goal
    units: Units
    order: Sequence[Unit]
    bench: Bench
    make: Callable[[Sequence[Unit]], onnx.ModelProto]
    progress: OnTrial = lambda done, total: None
    trials: dict[int, Trial] = field(default_factory=dict)
    noises: dict[int, Array] = field(default_factory=dict)

    @property
    def most(self) -> int:
        """How many units may go into float, so that enough stays in INT8."""
        counts = range(len(self.order) + 1)
        return max(
            (n for n in counts if self.units.share(self.order[:n]) >= self.goal.min_int8), default=0
        )

    def trial(self, count: int) -> Trial:
        """The trial with the first `count` units in float."""
        if count not in self.trials:
            chosen = tuple(self.order[:count])
            figures, noise = self.bench.figures(self.make(chosen))
            self.noises[count] = noise
            self.trials[count] = Trial(
                units=chosen,
                int8=self.units.share(chosen),
                conversions=self.units.conversions(chosen),
                figures=figures,
            )
            self.progress(len(self.trials), max(TRIALS, len(self.trials)))
        return self.trials[count]

    def fewest(self, aim: float) -> int | None:
        """The fewest units with which the figure is at least `aim`; None where none are enough."""
        low, high = -1, self._expected(aim)
        while self.trial(high).figures.figure < aim:
            if high >= self.most:
                return None
            low, high = high, min(self.most, max(high + 1, 2 * high))
        while high - low > 1 and (high - low > 2 or low >= 0):
            middle = (low + high) // 2
            if self.trial(middle).figures.figure >= aim:
                high = middle
            else:
                low = middle
        if high == 1 and self.trial(0).figures.figure >= aim:
            return 0
        return high

    def best(self) -> int:
        """The number of units with the best figure of all trials; of equal ones the fewest."""
        return max(self.trials, key=lambda n: (self.trials[n].figures.figure, -n))

    def _expected(self, aim: float) -> int:
        """How many units it should take, by what each is expected to take away."""
        self.trial(0)
        left = self.noises[0].mean(axis=0)
        enough = 10 ** (-aim / 10) if self.goal.scorer is None else -1.0
        for count, unit in enumerate(self.order):
            if left.max(initial=0) <= enough or count >= self.most:
                return count
            left = np.maximum(left - np.array(unit.noise), 0)
        return 0 if self.goal.scorer is not None else self.most
