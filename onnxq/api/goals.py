"""Goals of a tuning: from options, and what to say of one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from onnxq.api.studies import Study
from onnxq.diagnostics import Diagnostic, counted, error, warning
from onnxq.feeds.samples import Sample
from onnxq.improvement.samples import ADVISED
from onnxq.tuning.candidates import Parts
from onnxq.tuning.goal import Bench, Goal
from onnxq.tuning.metrics.labelled import Top1, top1
from onnxq.tuning.metrics.metric import MetricLike, load_metric
from onnxq.tuning.metrics.scoring import Scorer
from onnxq.tuning.tuned import Tuned


def goal_of(
    min_sqnr: float | None,
    min_int8: float | None,
    max_top1_drop: float | None,
    labels: str | Path | None,
    metric: MetricLike | None,
    min_score: float | None,
) -> Goal:
    """The goal of the options (OQ485)."""
    named = {
        "--min-sqnr": min_sqnr,
        "--max-top1-drop": max_top1_drop,
        "--min-score": min_score,
    }
    chosen = [name for name, value in named.items() if value is not None]
    if len(chosen) > 1:
        raise error("OQ485", f"{' and '.join(chosen)} exclude each other", fix="give one of them")
    for option, needs, value, other in (
        ("--max-top1-drop", "--labels", max_top1_drop, labels),
        ("--min-score", "--metric", min_score, metric),
    ):
        if (value is None) != (other is None):
            has, lacks = (option, needs) if other is None else (needs, option)
            raise error("OQ485", f"{has} needs {lacks}", fix=f"give {lacks} too")
    if not chosen and min_int8 is None:
        raise error(
            "OQ485",
            "there is no goal",
            fix="give --min-sqnr DB, --max-top1-drop POINTS, --min-score X or --min-int8 SHARE",
        )
    if min_int8 is not None and not 0 <= min_int8 <= 1:
        raise error("OQ485", f"--min-int8 {min_int8:g} is no share", fix="give one from 0 to 1")
    for name, value in named.items():
        if value is not None and not math.isfinite(value):
            raise error("OQ485", f"{name} {value:g} is no goal", fix="give a finite number")
    if max_top1_drop is not None and not 0 <= max_top1_drop <= 100:
        fix = "give points from 0 to 100"
        raise error("OQ485", f"--max-top1-drop {max_top1_drop:g} is no drop", fix=fix)
    return Goal(
        least=min_sqnr if min_score is None else min_score,
        drop=None if max_top1_drop is None else max_top1_drop / 100,
        min_int8=min_int8 or 0.0,
    )


def is_free(goal: Goal) -> bool:
    """True where the best figure is wanted."""
    return goal.least is None and goal.drop is None


def scorer_of(
    labels: str | Path | None, metric: MetricLike | None, open_: ExitStack
) -> Scorer | None:
    """The metric of a goal (OQ490 to OQ494, OQ651); `open_` ends its process."""
    if labels is not None:
        return top1(labels)
    return None if metric is None else open_.enter_context(load_metric(metric))


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


def too_few(divided: Parts, goal: Goal) -> Iterator[Diagnostic]:
    """Warn of a verdict that few samples give (OQ472)."""
    judged = len(divided.verdict)
    count = judged + len(divided.fitting) + len(divided.search)
    if count < ADVISED or (goal.drop is not None and goal.drop * judged < 1):
        yield warning(
            "OQ472",
            f"{counted(count, 'sample')} are few: the verdict is taken on {judged} of them"
            + ("" if goal.drop is None else f", so that one is {100 / judged:.1f} points"),
            fix=f"give {2 * ADVISED} or more",
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
