"""Run improvers one after the other; each is kept where samples it did not see get better."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import onnx

from onnxq.calibration.statistics import add_digests
from onnxq.improvement import registry
from onnxq.improvement.edits import Edits
from onnxq.improvement.exact import changed_since, kept_apart
from onnxq.improvement.improvement import Improvement, key_of
from onnxq.improvement.improver import State, Work
from onnxq.improvement.loss import Judge
from onnxq.improvement.samples import Split
from onnxq.improvement.steps import Step
from onnxq.improvement.subject import Subject
from onnxq.planning.improvers import ImproverName
from onnxq.planning.plan import Plan

EXACT: Final = 1e-8  # the loss of a float model that computes what the original does
# Arguments: the improver, steps done, steps in all.
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settings:
    """How improvers run: which of the plan's are left out, the seed, and the way to keep a state.

    `loss` names that of the user, `described` are other options that change the result. `keep` gets
    the improvement so far and the state of the improver that is at work.
    """

    without: frozenset[ImproverName] = frozenset()
    loss: str = ""
    described: str = ""
    seed: int = 0
    progress: OnProgress = lambda name, done, total: None
    keep: Callable[[Improvement, State], None] = lambda improvement, state: None


def targets(plan: Plan, name: ImproverName) -> tuple[str, ...]:
    """The nodes that the rules let an improver act on, in graph order."""
    return tuple(op.node for op in plan.improvable if name in op.improvers)


def improve(
    subject: Subject,
    split: Split,
    judges: tuple[Judge, Judge],
    settings: Settings,
    begun: Callable[[Improvement], tuple[Improvement, State] | None] = lambda run: None,
) -> Improvement:
    """Run the improvers of the plan, in the order of the registry.

    `judges` compare on the samples to fit on and on the others. `begun` gives what an
    interrupted run of the same gave to `keep`: its steps are not run again.
    """
    run = _Run(subject=subject, split=split, judges=judges, settings=settings)
    if (before := begun(run.improvement())) is not None:
        run.resume(*before)
    for name in run.left():
        run.step(name)
    return run.improvement()


@dataclass(slots=True, kw_only=True, eq=False)
class _Run:
    """The state between two improvers."""

    subject: Subject
    split: Split
    judges: tuple[Judge, Judge]
    settings: Settings
    steps: list[Step] = field(default_factory=list)
    state: State = field(default_factory=dict)
    first: Subject = field(init=False)
    exact: onnx.ModelProto = field(init=False)

    def __post_init__(self) -> None:
        self.first, self.exact = self.subject, self.subject.model

    def resume(self, begun: Improvement, state: State) -> None:
        edits = begun.edits(self.first.scales)
        self.subject, self.steps = self.first.edited(edits), [*begun.steps]
        self.state, self.exact = kept_apart(state, self.subject.model)

    def left(self) -> Iterator[ImproverName]:
        done = {step.name for step in self.steps}
        for name in registry.available():
            if name not in done | self.settings.without and targets(self.first.plan, name):
                yield name

    def step(self, name: ImproverName) -> None:
        """Run an improver, and keep its edits if they help."""
        validation, ops = self.judges[1], targets(self.first.plan, name)
        before = self.steps[-1].loss if self.steps else validation.loss(self.subject.quantized())
        why = registry.missing(name)
        edits = Edits() if why else self._edits(name, ops)
        after, why = before, why or edits.why or "it changes nothing here"
        if edits:
            candidate = self.subject.edited(edits)
            after = validation.loss(candidate.quantized())
            why = "" if after < before else "samples that it did not see got worse"
            if not why:
                self._go_on_with(candidate)
        self.steps.append(
            Step(
                name=name,
                ops=len(ops),
                changed=edits.count,
                loss_before=before,
                loss_after=after,
                kept=not why,
                why=why,
                notes={} if why else edits.notes,
            )
        )
        self.state = {}
        self._keep(self.improvement(), {})

    def _edits(self, name: ImproverName, ops: tuple[str, ...]) -> Edits:
        so_far = self.improvement()
        return registry.improver(name).improve(
            Work(
                subject=self.subject,
                targets=ops,
                fitting=self.split.fitting,
                judge=self.judges[0],
                seed=self.settings.seed,
                progress=lambda done, total: self.settings.progress(name, done, total),
                state=self.state,
                keep=lambda state: self._keep(so_far, state),
                exact=self.exact,
            )
        )

    def _go_on_with(self, subject: Subject) -> None:
        self.subject = subject
        if self.judges[1].loss(subject.model) < EXACT:
            self.exact = subject.model

    def _keep(self, improvement: Improvement, state: State) -> None:
        self.settings.keep(improvement, {**state, **changed_since(self.exact, self.subject.model)})

    def improvement(self) -> Improvement:
        """All changes so far."""
        first, last = self.first, self.subject
        return Improvement(
            model_digest=first.plan.model_digest,
            plan_digest=first.plan_digest,
            statistics_digest=first.statistics.digest,
            data_digest=add_digests(*self.split.digests),
            recipe=first.plan.recipe,
            loss=self.settings.loss,
            settings=self.settings.described,
            seed=self.settings.seed,
            fitted=len(self.split.fitting),
            validated=len(self.split.validation),
            steps=tuple(self.steps),
            constants=last.edits.constants,
            biases=last.edits.biases,
            divisors={key_of(pair): divisor for pair, divisor in last.edits.divisors.items()},
            scales={
                key_of(pair): scale
                for pair, scale in last.scales.by_pair.items()
                if not np.array_equal(scale, first.scales.by_pair.get(pair, ()))
            },
            moved=tuple(sorted(last.edits.moved)),
            diagnostics=self.split.diagnostics,
        )
