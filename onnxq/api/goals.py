"""Goals of a tuning: from options, and what to say of one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from onnxq.api.studies import Study
from onnxq.diagnostics import Diagnostic, OnnxqError, counted, error, warning
from onnxq.feeds.samples import Sample
from onnxq.improvement.samples import ADVISED
from onnxq.tuning.candidates import Parts
from onnxq.tuning.goal import Bench, Goal
from onnxq.tuning.metrics.detected import Agreement, agreement
from onnxq.tuning.metrics.labelled import Top1, top1
from onnxq.tuning.metrics.metric import MetricLike, load_metric, metric_file
from onnxq.tuning.metrics.scoring import Scorer
from onnxq.tuning.tuned import Tuned
from onnxq.verification.detections import DecoderLike


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalOptions:
    """What is asked for, as a caller gives it (`tune`)."""

    min_sqnr: float | None
    min_int8: float | None
    max_top1_drop: float | None
    labels: str | Path | None
    metric: MetricLike | None
    min_score: float | None
    detections: DecoderLike | None
    detection_score: float | None
    min_kept: float | None

    def goal(self) -> Goal:
        """The goal, without the scorer (OQ485, OQ682)."""
        if problem := next(self._problems(), None):
            raise problem
        chosen = (self.min_sqnr, self.min_score, self.min_kept)
        return Goal(
            least=next((figure for figure in chosen if figure is not None), None),
            drop=None if self.max_top1_drop is None else self.max_top1_drop / 100,
            min_int8=self.min_int8 or 0.0,
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read, which must not be overwritten."""
        paths = (self.labels, metric_file(self.metric), self.detections)
        return tuple(Path(x) for x in paths if isinstance(x, str | Path))

    def scorer(self, study: Study, open_: ExitStack) -> Scorer | None:
        """The metric of the goal (OQ490 to OQ494, OQ651, OQ682); `open_` ends its process."""
        if self.labels is not None:
            return top1(self.labels)
        if self.detections is not None:
            return agreement(self.detections, self.detection_score, study.model.proto)
        return None if self.metric is None else open_.enter_context(load_metric(self.metric))

    @property
    def _figures(self) -> dict[str, float]:
        """The figures that are asked for, by option; they exclude each other."""
        figures = {
            "--min-sqnr": self.min_sqnr,
            "--max-top1-drop": self.max_top1_drop,
            "--min-score": self.min_score,
            "--min-kept": self.min_kept,
        }
        return {option: figure for option, figure in figures.items() if figure is not None}

    def _problems(self) -> Iterator[OnnxqError]:
        """What is wrong with the options."""
        yield from self._conflicts()
        for name, share in (("--min-int8", self.min_int8), ("--min-kept", self.min_kept)):
            if share is not None and not 0 <= share <= 1:
                yield error("OQ485", f"{name} {share:g} is no share", fix="give one from 0 to 1")
        for name, figure in self._figures.items():
            if not math.isfinite(figure):
                yield error("OQ485", f"{name} {figure:g} is no goal", fix="give a finite number")
        if not 0 <= (drop := self.max_top1_drop or 0.0) <= 100:
            message = f"--max-top1-drop {drop:g} is no drop"
            yield error("OQ485", message, fix="give points from 0 to 100")

    def _conflicts(self) -> Iterator[OnnxqError]:
        """Options that exclude or lack each other."""
        figures = self._figures
        if len(figures) > 1:
            message = f"{' and '.join(figures)} exclude each other"
            yield error("OQ485", message, fix="give one of them")
        for option, needs, other in (
            ("--max-top1-drop", "--labels", self.labels),
            ("--min-score", "--metric", self.metric),
            ("--min-kept", "--detections", self.detections),
        ):
            if (option in figures) != (other is not None):
                has, lacks = (option, needs) if other is None else (needs, option)
                yield error("OQ485", f"{has} needs {lacks}", fix=f"give {lacks} too")
        if self.detection_score is not None and self.detections is None:
            fix = "add --detections yolo, yolox, ssd or FILE.py"
            yield error("OQ682", "--detection-score has no effect without --detections", fix=fix)
        if not figures and self.min_int8 is None:
            yield error(
                "OQ485",
                "there is no goal",
                fix="give --min-sqnr DB, --max-top1-drop POINTS, --min-kept SHARE, --min-score X "
                "or --min-int8 SHARE",
            )


def is_free(goal: Goal) -> bool:
    """True where the best figure is wanted."""
    return goal.least is None and goal.drop is None


def require_possible(goal: Goal, study: Study, divided: Parts) -> None:
    """Raise OQ486 for a score that the float model does not have."""
    if goal.scorer is None or goal.least is None:
        return
    bench = Bench(
        goal=goal, samples=divided.verdict, judge=study.judge([s.tensors for s in divided.verdict])
    )
    score = bench.float_score
    if score is not None and score < goal.least:
        raise error(
            "OQ486",
            f"the float model itself has {score:.4g} by {goal.scorer.name}, less than "
            f"{goal.least:g}",
            fix="lower the goal, or check the metric, the data and the preprocessing",
        )


def doubts(goal: Goal, study: Study, samples: Sequence[Sample]) -> tuple[Diagnostic, ...]:
    """Warn of labels that do not fit the float model (OQ655)."""
    if not isinstance(goal.scorer, Top1):
        return ()
    return goal.scorer.doubts(study.model.proto, samples, study.libraries)


def too_few(divided: Parts, goal: Goal, study: Study) -> Iterator[Diagnostic]:
    """Warn of a verdict that few samples or detections give (OQ472)."""
    judged = len(divided.verdict)
    count = judged + len(divided.fitting) + len(divided.search)
    if count < ADVISED or (goal.drop is not None and goal.drop * judged < 1):
        yield warning(
            "OQ472",
            f"{counted(count, 'sample')} are few: the verdict is taken on {judged} of them"
            + ("" if goal.drop is None else f", so that one is {100 / judged:.1f} points"),
            fix=f"give {2 * ADVISED} or more",
        )
    if isinstance(goal.scorer, Agreement) and goal.least is not None:
        detections = goal.scorer.float_count(divided.verdict, study.libraries)
        if (1 - goal.least) * detections < 1:
            yield warning(
                "OQ472",
                f"the samples of the verdict have {counted(detections, 'detection')}, so that one "
                f"is {100 / detections:.1f} %",
                fix="give more samples",
            )


def unsure(tuned: Tuned) -> Iterator[Diagnostic]:
    """Warn of a goal that is reached by less than the standard error (OQ488)."""
    figures, least = tuned.verdict, tuned.least
    if tuned.goal.scorer is not None or least is None or not tuned.passed:
        return
    if figures.figure - least < figures.error_db:
        yield warning(
            "OQ488",
            f"the goal of {least:g} dB may be missed on other samples: {figures.figure:.2f} dB has "
            f"a standard error of {figures.error_db:.2g} dB over {tuned.samples[-1]} samples",
            fix=f"give more samples, or ask for {figures.error_db:.2g} dB more",
        )


def missed(tuned: Tuned) -> Iterator[Diagnostic]:
    """Say that the goal was not reached (OQ487)."""
    if tuned.passed:
        return
    goal, best = tuned.goal, tuned.verdict.figure
    if tuned.chosen.int8 < goal.min_int8:
        yield Diagnostic(
            code="OQ487",
            message=f"the recipe itself leaves {1 - tuned.chosen.int8:.1%} of the MACs in float, "
            f"and {goal.min_int8:.1%} are asked for in int8",
            fix="give a recipe that quantizes more, or ask for less",
        )
    if tuned.least is None or best >= tuned.least:
        return
    less = "allow less in int8, " if goal.min_int8 else ""
    within = f" with {goal.min_int8:.1%} of the MACs in int8" if goal.min_int8 else ""
    yield Diagnostic(
        code="OQ487",
        message=f"the goal of {goal.text(tuned.least)} is not reached{within}: the nearest recipe "
        f"that was tried has {goal.text(best)}",
        fix=f"lower the goal, {less}or give more samples",
    )
