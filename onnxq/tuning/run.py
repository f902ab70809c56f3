"""Tune: improve, rank, search, and judge the result on samples that had no part in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from onnxq.feeds.samples import Sample
from onnxq.improvement import runner
from onnxq.improvement.edits import Array
from onnxq.improvement.improvement import Improvement
from onnxq.improvement.improver import State
from onnxq.improvement.loss import Judge
from onnxq.improvement.samples import Split
from onnxq.improvement.subject import Subject
from onnxq.planning import cascade
from onnxq.planning.plan import Plan
from onnxq.planning.recipe import Recipe
from onnxq.sensitivities.measuring import measure
from onnxq.sensitivities.sensitivity import Sensitivity, decibel
from onnxq.tuning.goal import Bench, Goal, margin_db
from onnxq.tuning.greedy import ordered
from onnxq.tuning.recipe_text import FloatRule, recipe_text, structured
from onnxq.tuning.restriction import restricted
from onnxq.tuning.search import Search, Trial
from onnxq.tuning.tuned import Tuned
from onnxq.tuning.units import Unit, Units

RANKED_ON: Final = 24  # samples, at most
LOOKS: Final = 3  # at the samples of the verdict
_OF: Final = 5  # of every five samples one is for the search and one for the verdict
# Arguments: the stage, steps done, steps in all.
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """Samples by what they are for."""

    fitting: tuple[Sample, ...]
    search: tuple[Sample, ...]
    verdict: tuple[Sample, ...]

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Parts:
        """Every fifth sample is for the verdict, and the one before it for the search."""
        return cls(
            fitting=tuple(s for i, s in enumerate(samples) if i % _OF < _OF - 2),
            search=tuple(samples[_OF - 2 :: _OF]),
            verdict=tuple(samples[_OF - 1 :: _OF]),
        )

    def split(self) -> Split:
        """What improvers are fitted on, and what judges them."""
        return Split(
            fitting=tuple(s.tensors for s in self.fitting),
            validation=tuple(s.tensors for s in self.search),
            digests=tuple(s.digest for s in (*self.fitting, *self.search)),
            diagnostics=(),
        )


@dataclass(kw_only=True, eq=False)
class Tuning:
    """A tuning whose options are checked: it can begin.

    `subject_of` gives the subject of a plan, without edits. `judge_of` compares on some samples.
    `settings` are those of the improvers; None for no improvement. `extends` names the recipe.
    """

    goal: Goal
    extends: str
    samples: Parts
    subject_of: Callable[[Plan], Subject]
    judge_of: Callable[[Sequence[Sample]], Judge]
    settings: runner.Settings | None
    begun: Callable[[Improvement], tuple[Improvement, State] | None]
    head: tuple[str, ...]
    seed: int
    progress: OnProgress
    first: Subject = field(init=False)
    improved: Subject = field(init=False)
    improvement: Improvement | None = field(init=False, default=None)

    def run(self, plan: Plan) -> Tuned:
        """The tuned recipe of a plan, or the nearest."""
        self.first = self.improved = self.subject_of(plan)
        verdict = self._bench(self.samples.verdict)
        before, _ = verdict.figures(self.first.quantized())
        self._improve()
        search = self._search()
        trial, looks = self._chosen(search, verdict)
        rules = self._rules(trial.units, search.units)
        base, fewer = self._fewer(trial.units)
        figures, _ = verdict.figures(fewer.quantized())
        return Tuned(
            goal=self.goal,
            model=self.first.original.name,
            extends=self.extends,
            parts=verdict.parts.names,
            before=before,
            verdict=figures,
            looks=looks,
            least=verdict.least,
            float_score=verdict.float_score,
            samples=(
                len(self.samples.fitting),
                len(self.samples.search),
                len(self.samples.verdict),
            ),
            trials=tuple(sorted(search.trials.values(), key=lambda t: (-t.int8, t.figures.figure))),
            chosen=trial,
            rules=rules,
            text=recipe_text(self.extends, rules, self.head),
            improvement=self._improvement_of(base, fewer),
        )

    def _bench(self, samples: Sequence[Sample]) -> Bench:
        return Bench(goal=self.goal, samples=samples, judge=self.judge_of(samples))

    def _improve(self) -> None:
        if self.settings is None:
            return
        judges = (self.judge_of(self.samples.fitting), self.judge_of(self.samples.search))
        split = self.samples.split()
        self.improvement = runner.improve(self.first, split, judges, self.settings, self.begun)
        self.improved = self.first.restored(self.improvement.edits(self.first.scales))

    def _search(self) -> Search:
        """The search with its order of units, and the model without any in float tried."""
        bench = self._bench(self.samples.search)
        figures, noise = bench.figures(self.improved.quantized())
        units, order = Units(graph=self.improved.graph, units=(), macs=0), list[Unit]()
        least = bench.least
        if least is None or figures.figure < least + self._margin(noise):
            ranking = self._ranking()
            units = Units.of(self.improved, ranking)
            aim = None if least is None or self.goal.scorer is not None else 10 ** (-least / 10)
            order = ordered(units, noise.mean(axis=0), aim or 0.0)
        search = Search(
            goal=self.goal,
            units=units,
            order=order,
            bench=bench,
            make=lambda chosen: self._fewer(chosen)[1].quantized(),
            progress=lambda done, total: self.progress("trying", done, total),
        )
        search.first(0)
        return search

    def _ranking(self) -> Sensitivity:
        samples = [*self.samples.search, *self.samples.fitting][:RANKED_ON]
        return measure(self.improved, self.judge_of(samples), self.seed, self.progress)

    def _chosen(self, search: Search, verdict: Bench) -> tuple[Trial, int]:
        """The trial to keep, and how often the samples of the verdict were looked at.

        Where they say no, the search goes on with a higher aim, by what they lack.
        """
        if search.bench.least is None or verdict.least is None:
            for share in (0.25, 0.5, 0.75, 1.0):
                search.first(round(share * search.most))
            return search.best, 1
        aim = search.bench.least + self._margin(search.noises[()])
        tried: list[tuple[float, Trial]] = []
        while len(tried) < LOOKS:
            fewest = search.fewest(aim)
            trial = fewest or search.best
            figure = verdict.figures(search.make(trial.units))[0].figure
            tried.append((figure, trial))
            if figure >= verdict.least or fewest is None:
                break
            aim = max(aim, trial.figures.figure) + verdict.least - figure
        return max(tried, key=lambda pair: pair[0])[1], len(tried)

    def _margin(self, noise: Array) -> float:
        """What the search aims at beyond the goal, as its samples are not those of the verdict."""
        return margin_db(noise) if self.goal.scorer is None else 0.0

    def _fewer(self, units: Sequence[Unit]) -> tuple[Subject, Subject]:
        """The subject with some units in float, and the same improved."""
        if not units:
            return self.first, self.improved
        names = tuple(name for unit in units for name in unit.nodes)
        rule = FloatRule(id="tuned", nodes=names, why="")
        recipe = Recipe.from_yaml(recipe_text(self.extends, [rule], ()), "tuned")
        plan = cascade.plan(self.first.original.graph, recipe)
        base = self.subject_of(plan)
        return base, restricted(self.improved, base)

    def _rules(self, chosen: Sequence[Unit], units: Units) -> tuple[FloatRule, ...]:
        graph = self.first.original.graph
        decided = frozenset(name for unit in units.units for name in unit.nodes)
        total = [sum(unit.noise[i] for unit in units.units) for i in range(len(self._parts))]
        rules = []
        for number, unit in enumerate(chosen, start=1):
            rules.append(
                FloatRule(
                    id=f"float-{number}",
                    nodes=structured(graph, unit.nodes, decided),
                    why=self._why(unit, total, units.macs),
                )
            )
        return tuple(rules)

    @property
    def _parts(self) -> tuple[str, ...]:
        return self._bench(self.samples.search).parts.names

    def _why(self, unit: Unit, total: Sequence[float], macs: int) -> str:
        shares = [n / t if t else 0.0 for n, t in zip(unit.noise, total, strict=True)]
        worst = max(range(len(shares)), key=shares.__getitem__)
        db = decibel(unit.noise[worst])
        alone = "" if db is None else f" ({db:.1f} dB alone)"
        work = unit.macs / macs if macs else 0.0
        return (
            f"Left in float: brings {shares[worst]:.1%} of the noise at "
            f"{self._parts[worst]}{alone}, {work:.2%} of the MACs."
        )

    def _improvement_of(self, base: Subject, fewer: Subject) -> Improvement | None:
        """The improvement, as it fits the tuned plan."""
        if self.improvement is None:
            return None
        changed = runner.changes(base, fewer)
        return replace(self.improvement, plan_digest=base.plan_digest, **changed)
