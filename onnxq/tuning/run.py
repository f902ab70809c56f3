"""Tune: improve, rank, search, and judge the result on samples that had no part in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import onnx

from onnxq.diagnostics import Diagnostic
from onnxq.feeds.samples import Sample
from onnxq.improvement.improvement import Improvement
from onnxq.sensitivities.measuring import measure, sizes_of
from onnxq.tuning.candidates import Candidates
from onnxq.tuning.goal import Bench, Figures, Goal
from onnxq.tuning.greedy import ordered
from onnxq.tuning.reasons import reasons
from onnxq.tuning.recipe_text import FloatRule, recipe_text
from onnxq.tuning.search import Search, Trial
from onnxq.tuning.tuned import Tuned
from onnxq.tuning.units import Units

RANKED_ON: Final = 24  # samples, at most
LOOKS: Final = 3  # at the samples of the verdict
WORTH: Final = 0.01  # of all MACs in INT8: for less no other model is made
# Arguments: the stage, steps done, steps in all.
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Made:
    """A trial with all improvements."""

    trial: Trial
    model: onnx.ModelProto
    improvement: Improvement | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Final:
    """A trial as it is delivered, with the figures of the verdict."""

    trial: Trial
    improvement: Improvement | None
    figures: Figures


@dataclass(kw_only=True, eq=False)
class Tuning:
    """A tuning whose options are checked: it can begin. `head` are lines of comment."""

    goal: Goal
    candidates: Candidates
    head: tuple[str, ...]
    seed: int
    progress: OnProgress
    notes: tuple[Diagnostic, ...] = ()

    def run(self) -> Tuned:
        """The tuned recipe, or the nearest."""
        verdict = self._verdict
        before, _ = verdict.figures(self.candidates.first.quantized())
        if verdict.least is not None:
            _ = self.candidates.whole  # first: the others begin with its steps
        search = self._search()
        finals = self._finals(search)
        best = finals[-1] if not self._lack(finals) else max(finals, key=lambda f: f.figures.figure)
        units = best.trial.units
        why = reasons(units, search.units, search.bench.parts.names)
        rules = tuple(
            FloatRule(id=f"float-{number}", nodes=unit.nodes, why=reason.text)
            for number, (unit, reason) in enumerate(zip(units, why, strict=True), start=1)
        )
        samples = self.candidates.samples
        return Tuned(
            goal=self.goal,
            model=self.candidates.first.original.name,
            extends=self.candidates.extends,
            parts=verdict.parts.names,
            search_parts=search.bench.parts.names,
            before=before,
            verdict=best.figures,
            looks=len(finals),
            least=verdict.least,
            float_score=verdict.float_score,
            samples=(len(samples.fitting), len(samples.search), len(samples.verdict)),
            trials=tuple(sorted(search.trials.values(), key=lambda t: (-t.int8, t.figures.figure))),
            chosen=best.trial,
            rules=rules,
            reasons=why,
            text=recipe_text(self.candidates.extends, rules, self.head),
            improvement=best.improvement,
            diagnostics=self.notes,
        )

    @cached_property
    def _verdict(self) -> Bench:
        return self._bench(self.candidates.samples.verdict)

    def _bench(self, samples: Sequence[Sample]) -> Bench:
        return Bench(goal=self.goal, samples=samples, judge=self.candidates.judge_of(samples))

    def _search(self) -> Search:
        """The search, in which the model without any unit in float was tried."""
        bench = self._bench(self.candidates.samples.search)
        searched = self.candidates.searched
        search = Search(
            goal=self.goal,
            units=Units.of(searched, sizes_of(searched, bench.judge), bench.parts.names),
            order=(),
            bench=bench,
            make=lambda chosen: self.candidates.fewer(chosen).quantized(),
            progress=lambda done, total: self.progress("trying", done, total),
        )
        search.first(0)
        return search

    def _rank(self, search: Search) -> None:
        """Give the search its units and their order."""
        samples = self.candidates.samples
        ranked_on = [*samples.search, *samples.fitting][:RANKED_ON]
        searched, judge = self.candidates.searched, self.candidates.judge_of(ranked_on)
        ranking = measure(searched, judge, self.seed, self.progress)
        self.notes += ranking.diagnostics
        names = search.bench.parts.names
        search.units = Units.of(searched, sizes_of(searched, judge), names, ranking)
        noise, least = search.noises[()].mean(axis=0), search.bench.least
        aim = 0.0 if least is None or self.goal.scorer is not None else 10 ** (-least / 10)
        search.order = ordered(search.units, noise, aim, self.goal.min_int8)

    def _finals(self, search: Search) -> list[_Final]:
        """What the verdict was taken on, one after the other; the last is good, or none is.

        The first is the model without any op in float; where it is not enough, the search goes on
        with the aim less what all improvers gained there. Where the verdict says no, as many units
        follow as should bring what is missing, and the second time twice as much.
        """
        least = search.bench.least
        if least is None or self._verdict.least is None:
            self._rank(search)
            for share in (0.25, 0.5, 0.75, 1.0):
                search.first(round(share * len(search.order)))
            return [self._judged(self._made(search.best))]
        whole = self._made(search.first(0))
        figure = search.bench.figures(whole.model)[0].figure
        aim, finals = least, list[_Final]()
        if figure >= aim:
            finals.append(self._judged(whole))
            if not (lack := self._lack(finals)):
                return finals
            aim = figure + lack
        self._rank(search)
        if finals and not search.most:
            return finals
        fewest = search.fewest(aim - max(0.0, figure - search.first(0).figures.figure))
        trial = search.first(search.most) if fewest is None else fewest
        if finals and not trial.units:
            trial = search.first(1)
        made = self._eased(self._made(trial), search, aim)
        trial = made.trial
        finals.append(self._judged(made))
        while (lack := self._lack(finals)) and len(finals) < LOOKS:
            if len(trial.units) >= search.most:
                break
            trial = search.trial(search.further(trial.units, lack * len(finals)))
            finals.append(self._judged(self._made(trial)))
        return finals

    def _eased(self, made: _Made, search: Search, aim: float) -> _Made:
        """What was made, or a model with less in float where the samples of the search allow it.

        The improvers may gain more there than with no op in float, which the search went by.
        """
        if self.goal.scorer is not None or self.candidates.settings is None:
            return made
        figure, units = search.bench.figures(made.model)[0].figure, made.trial.units
        if figure <= aim:
            return made
        gain = figure - max(search.expected(units), made.trial.figures.figure)
        fewer = search.fewest(aim - gain)
        if fewer is None or fewer.int8 - made.trial.int8 < WORTH:
            return made
        return self._made(fewer)

    def _lack(self, finals: Sequence[_Final]) -> float:
        """What the last verdict lacks of the goal; 0 for nothing."""
        return max(0.0, (self._verdict.least or 0.0) - finals[-1].figures.figure)

    def _made(self, trial: Trial) -> _Made:
        subject, improvement = self.candidates.final(trial.units)
        return _Made(trial=trial, model=subject.quantized(), improvement=improvement)

    def _judged(self, made: _Made) -> _Final:
        figures, _ = self._verdict.figures(made.model)
        return _Final(trial=made.trial, improvement=made.improvement, figures=figures)
