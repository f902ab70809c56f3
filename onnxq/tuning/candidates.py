"""Models with some units in float, as the search sees them and as they are delivered.

The search compares models with those improvements alone that leave the float model what it was:
they carry over to fewer pairs. What rounds and trains weights adapts them to all of the noise, so
that it is of little use where some of that noise is gone; it runs again for the recipe that was
chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from onnxq.feeds.samples import Sample
from onnxq.improvement import runner
from onnxq.improvement.improvement import Improvement
from onnxq.improvement.improver import State
from onnxq.improvement.loss import Judge
from onnxq.improvement.samples import Split
from onnxq.improvement.subject import Subject
from onnxq.planning import cascade
from onnxq.planning.improvers import IMPROVER_NAMES, ImproverName
from onnxq.planning.plan import Plan
from onnxq.planning.recipe import Recipe
from onnxq.tuning.recipe_text import FloatRule, recipe_text
from onnxq.tuning.restriction import restricted
from onnxq.tuning.units import Unit

EXACT: Final[frozenset[ImproverName]] = frozenset({"layer-norm", "equalize", "scales"})
_OF: Final = 5  # of every five samples one is for the search and one for the verdict


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Makes the models.

    `subject_of` gives the subject of a plan, without edits. `judge_of` compares on some samples.
    `settings` are those of the improvers; None for no improvement. `extends` names the recipe.
    `begun` is what an interrupted improvement of the plan as it is had done.
    """

    plan: Plan
    extends: str
    samples: Parts
    subject_of: Callable[[Plan], Subject]
    judge_of: Callable[[Sequence[Sample]], Judge]
    settings: runner.Settings | None
    begun: Callable[[Improvement], tuple[Improvement, State] | None]
    _exact: list[Improvement] = field(default_factory=list)

    @cached_property
    def first(self) -> Subject:
        """The subject of the recipe as it is."""
        return self.subject_of(self.plan)

    @cached_property
    def searched(self) -> Subject:
        """The first subject with those improvements that keep the float model."""
        if self._kept is None:
            return self.first
        return self.first.restored(self._kept.edits(self.first.scales))

    def fewer(self, units: Sequence[Unit]) -> Subject:
        """The same with some units in float."""
        if not units:
            return self.searched
        base = self._of(units)
        return base if self.settings is None else restricted(self.searched, base)

    def final(self, units: Sequence[Unit]) -> tuple[Subject, Improvement | None]:
        """The subject with some units in float and all improvements, made for it."""
        if not units:
            return self.whole
        base = self._of(units)
        if self.settings is None:
            return base, None
        settings = replace(self.settings, keep=lambda improvement, state: None)
        improvement = self._improved(base, settings, lambda run: None)
        return base.restored(improvement.edits(base.scales)), improvement

    @cached_property
    def whole(self) -> tuple[Subject, Improvement | None]:
        """The first subject with all improvements; an interrupted run of it goes on."""
        settings = self.settings
        if settings is None:
            return self.first, None

        def keep(improvement: Improvement, state: State) -> None:
            if all(step.name in EXACT for step in improvement.steps):
                self._exact[:] = [improvement]
            settings.keep(improvement, state)

        improvement = self._improved(self.first, replace(settings, keep=keep), self.begun)
        return self.first.restored(improvement.edits(self.first.scales)), improvement

    @cached_property
    def _kept(self) -> Improvement | None:
        """The improvement that keeps the float model: the first steps of the whole one."""
        if self.settings is None:
            return None
        if self._exact:
            return self._exact[0]
        without = self.settings.without | (frozenset(IMPROVER_NAMES) - EXACT)
        settings = replace(self.settings, without=without, keep=lambda improvement, state: None)
        return self._improved(self.first, settings, lambda run: None)

    def _improved(
        self,
        subject: Subject,
        settings: runner.Settings,
        begun: Callable[[Improvement], tuple[Improvement, State] | None],
    ) -> Improvement:
        judges = (self.judge_of(self.samples.fitting), self.judge_of(self.samples.search))
        return runner.improve(subject, self.samples.split(), judges, settings, begun)

    def _of(self, units: Sequence[Unit]) -> Subject:
        """The subject with some units in float, without edits."""
        if not units:
            return self.first
        names = tuple(name for unit in units for name in unit.nodes)
        text = recipe_text(self.extends, [FloatRule(id="tuned", nodes=names, why="")], ())
        recipe = Recipe.from_yaml(text, "tuned")
        return self.subject_of(cascade.plan(self.first.original.graph, recipe))
