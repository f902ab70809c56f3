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

TRIALS: Final = 10  # usual number of them
STEP: Final = 0.025  # of all MACs that go into float after a verdict that says no
_REST: Final = 1e-6  # of the noise: what is expected to be left at least
_LEAST: Final = 1e-300  # noise of a part that no pair reaches
NEAR: Final = 5  # trials of which the median is taken
TRIMS: Final = 4  # units that are tried to be left out again
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
    trials: dict[tuple[Unit, ...], Trial] = field(default_factory=dict)
    noises: dict[tuple[Unit, ...], Array] = field(default_factory=dict)

    @property
    def most(self) -> int:
        """How many units may go into float."""
        return len(self.order)

    def first(self, count: int) -> Trial:
        """The trial with the first `count` units of the order in float."""
        return self.trial(tuple(self.order[:count]))

    def trial(self, chosen: tuple[Unit, ...]) -> Trial:
        """The trial with these units in float."""
        if chosen not in self.trials:
            figures, noise = self.bench.figures(self.make(chosen))
            self.noises[chosen] = noise
            self.trials[chosen] = Trial(
                units=chosen,
                int8=self.units.share(chosen),
                conversions=self.units.conversions(chosen),
                figures=figures,
            )
            self.progress(len(self.trials), max(TRIALS, len(self.trials)))
        return self.trials[chosen]

    def fewest(self, aim: float) -> Trial | None:
        """The trial with the fewest units that reaches `aim`; None where none does."""
        low, high = -1, self._start(aim)
        while not self._reaches(self.first(high), aim):
            if high >= self.most:
                return None
            low, high = high, min(self.most, max(high + 1, 2 * high))
        while high - low > 1:
            middle = (low + high) // 2
            if self._reaches(self.first(middle), aim):
                high = middle
            else:
                low = middle
        return self._trimmed(self.first(high), aim)

    def _trimmed(self, trial: Trial, aim: float) -> Trial:
        """The trial without those of its largest units that it can do without."""
        for unit in sorted(trial.units, key=lambda unit: -unit.macs)[:TRIMS]:
            without = tuple(u for u in trial.units if u != unit)
            if self.goal.scorer is None and self.expected(without) < aim:
                continue
            if self._reaches(fewer := self.trial(without), aim):
                trial = fewer
        return trial

    def _reaches(self, trial: Trial, aim: float) -> bool:
        """Whether a trial reaches `aim`: a score as it is, SQNR in the light of other trials."""
        figure = trial.figures.figure
        return (figure if self.goal.scorer is not None else self.expected(trial.units)) >= aim

    @property
    def best(self) -> Trial:
        """The trial with the best figure; of equal ones that with the most in INT8."""
        return max(self.trials.values(), key=lambda t: (t.figures.figure, t.int8))

    def further(self, units: Sequence[Unit], lack: float) -> tuple[Unit, ...]:
        """These units and more, with which the figure should be higher by `lack`.

        For dB by what each unit is expected to take away; of a score nothing is known, so that
        the number doubles. It is one more at least, and at most those with STEP of all MACs.
        """
        chosen = list(units)
        limit = self.units.share(chosen) - STEP
        enough = self.expected(chosen) + lack
        for unit in [unit for unit in self.order if unit not in units]:
            if len(chosen) > len(units) and self.units.share([*chosen, unit]) < limit:
                break
            chosen.append(unit)
            if self._is_enough(chosen, enough, 2 * len(units)):
                break
        return tuple(chosen)

    def _is_enough(self, chosen: Sequence[Unit], figure: float, count: int) -> bool:
        """Whether such a figure is expected, or of a score, whether they are so many."""
        if self.goal.scorer is not None:
            return len(chosen) >= count
        return self.expected(chosen) >= figure

    def _start(self, aim: float) -> int:
        """How many units it should take, by what each is expected to take away."""
        if self.goal.scorer is not None:
            return 0
        self.first(0)
        counts = range(self.most)
        return next((n for n in counts if self.expected(self.order[:n]) >= aim), self.most)

    def expected(self, chosen: Sequence[Unit]) -> float:
        """The SQNR in dB that is expected of the worst part with some units in float.

        It is what they should gain, above the level of the trials that gain the most alike: a few
        values may have most of a part's noise, so that the figure of one trial is off by 2 dB.
        """
        gain = self._gain(chosen)
        near = sorted(
            self.trials.values(), key=lambda t: float(np.abs(self._gain(t.units) - gain).max())
        )
        levels = [t.figures.sqnr_db - self._gain(t.units) for t in near[:NEAR]]
        level = np.quantile(levels, 0.5, axis=0, method="lower")  # of two, one may be all in float
        return float((level + gain).min(initial=np.inf))

    def _gain(self, chosen: Sequence[Unit]) -> Array:
        """How much higher the SQNR of each part should be with some units in float, in dB."""
        noise = np.array([unit.noise for unit in self.units.units])
        whole = np.maximum(noise.sum(axis=0), _LEAST)
        taken = np.sum([unit.noise for unit in chosen], axis=0)
        return np.asarray(-10 * np.log10(np.maximum(1 - taken / whole, _REST)))
