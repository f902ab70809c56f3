"""tune: the recipe that reaches a goal with the least in float."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from onnx import ModelProto

from onnxq.api.data import PathOrPaths, Selection, Shapes
from onnxq.api.goals import (
    GoalOptions,
    doubts,
    is_free,
    missed,
    require_possible,
    too_few,
    unsure,
)
from onnxq.api.improving import checkpoint_of, described, improver_names
from onnxq.api.long_runs import LongRun
from onnxq.api.planning import RECIPE
from onnxq.api.requirements import require_page
from onnxq.api.studies import Study, files_of, study_of
from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import counted, error
from onnxq.feeds import Feed
from onnxq.feeds.preprocess import Preprocess
from onnxq.feeds.samples import Sample
from onnxq.files import whole_file
from onnxq.improvement import runner
from onnxq.improvement.checkpoint import Checkpoint
from onnxq.improvement.samples import held
from onnxq.model.loading import Existing, Model
from onnxq.outputs import require_writable
from onnxq.planning import recipe as recipes
from onnxq.planning.improvers import ImproverName
from onnxq.progress import OnProgress, Progress, silent
from onnxq.tuning.candidates import Candidates, Parts
from onnxq.tuning.metrics.metric import MetricLike
from onnxq.tuning.recipe_text import extends_line
from onnxq.tuning.run import Tuning
from onnxq.tuning.tuned import Tuned
from onnxq.verification.detections import DecoderLike
from onnxq.verification.numeric.parts import Part, PartsLike

_FIRST: Final = 32  # samples that groups of channels are looked for in
LEAST: Final = 10  # samples: six to fit on, two to search with, two for the verdict


def tune(
    model: str | Path | ModelProto | Model,
    data: Any,
    recipe: str | Path = RECIPE,
    statistics: Statistics | str | Path | None = None,
    *,
    min_sqnr: float | None = None,
    min_int8: float | None = None,
    max_top1_drop: float | None = None,
    labels: str | Path | None = None,
    metric: MetricLike | None = None,
    min_score: float | None = None,
    detections: DecoderLike | None = None,
    detection_score: float | None = None,
    min_kept: float | None = None,
    improve: bool = True,
    without: Iterable[str] = (),
    parts: PartsLike | None = None,
    preprocess: str | Path | Preprocess | None = None,
    shapes: Shapes | None = None,
    samples: int | None = None,
    seed: int | None = None,
    batch: int | None = None,
    ragged: bool = False,
    existing: Existing = "refuse",
    checkpoint: str | Path | None = None,
    resume: bool = False,
    ort_library: PathOrPaths = (),
    output: str | Path | None = None,
    improvement_output: str | Path | None = None,
    calibration_output: str | Path | None = None,
    html: str | Path | None = None,
    progress: OnProgress = silent,
) -> Tuned:
    """Find the recipe that reaches a goal with the fewest multiply-accumulates in float.

    The goal is one of: `min_sqnr`, dB of the worst part of the outputs; `max_top1_drop`, points of
    top-1 below the float model, with `labels`; `min_score` of a `metric`, the function of a Python
    file ('score.py:map50') or a callable (docs/metrics.md); `min_kept`, the share of the float
    model's detections that is kept, while no more than the rest of it is new, with `detections` and
    `detection_score` as for `verify`. `min_int8`, a share of
    multiply-accumulates from 0 to 1, is kept to beside them; alone it asks for the best SQNR with
    so much in INT8. Numbers are improved first, unless `improve` is False; `without` leaves out
    improvers. Of five samples three are fitted on, one is searched with, and one judges.
    `output` is the rule file to write, which extends `recipe`, and `improvement_output` the file of
    the improvement, which fits that recipe alone. `checkpoint` gets the improvement so far, from
    which `resume` goes on. `html` is a page to write.
    `result.passed` is False where the goal was not reached: the recipe is the nearest then.
    Raises OQ485 for goals that exclude each other, OQ486 where the float model itself is below the
    goal, OQ471, OQ490 to OQ494 for the metric, OQ670, OQ682, OQ683, and what `improve` raises.
    """
    options = GoalOptions(
        min_sqnr=min_sqnr,
        min_int8=min_int8,
        max_top1_drop=max_top1_drop,
        labels=labels,
        metric=metric,
        min_score=min_score,
        detections=detections,
        detection_score=detection_score,
        min_kept=min_kept,
    )
    goal = options.goal()
    left_out = improver_names(without)
    run_file = LongRun(checkpoint=checkpoint, resume=resume)
    if checkpoint is not None and (not improve or is_free(goal)):
        raise error(
            "OQ434",
            "--checkpoint keeps the improvement, which "
            + ("--no-improve leaves out" if not improve else "--min-int8 alone makes at the end"),
            fix="leave out --checkpoint",
        )
    study = study_of(
        model,
        data,
        recipe,
        statistics,
        parts=parts,
        preprocess=preprocess,
        shapes=shapes,
        selection=Selection(samples=samples, seed=seed, batch=batch, ragged=ragged),
        existing=existing,
        ort_library=ort_library,
    )
    path, improvement_path, calibration_path, page = (
        None if p is None else Path(p)
        for p in (output, improvement_output, calibration_output, html)
    )
    outputs = {
        "the recipe": path,
        "the improvement": improvement_path,
        "the calibration": calibration_path,
        "the checkpoint": None if checkpoint is None else Path(checkpoint),
        "--html": page,
    }
    inputs = (*files_of(study), *options.files)
    require_writable(outputs, inputs)
    require_page(page)
    extends = _extends(recipe, path)
    feed = study.open()
    whole = held(feed)
    divided = Parts.of(_enough(whole.samples))
    with ExitStack() as open_:
        goal = replace(goal, scorer=options.scorer(study, open_))
        require_possible(goal, study, divided)
        of_labels = doubts(goal, study, whole.samples)
        fitted_on = study.on([s.tensors for s in (*divided.fitting, *divided.search)])
        gathered = _calibrated(study, fitted_on, feed, calibration_path, progress)
        study = replace(study, parts=study.parts or _channel_groups(study, whole.samples))
        saved = open_.enter_context(checkpoint_of(run_file, "tuning", progress))
        candidates = Candidates(
            plan=study.plan,
            extends=str(recipe),
            samples=divided,
            subject_of=lambda plan: replace(fitted_on, plan=plan).subject(gathered),
            judge_of=lambda some: study.judge([sample.tensors for sample in some]),
            settings=_settings(left_out, study, seed, saved, progress) if improve else None,
            begun=saved.begun if saved else lambda run: None,
        )
        tuned = Tuning(
            goal=goal,
            candidates=candidates,
            head=_head(study, recipe),
            seed=seed or 0,
            progress=lambda stage, done, total: progress(
                Progress(stage=stage, done=done, total=total)
            ),
        ).run()
        of_data = (*feed.warnings, *whole.diagnostics, *of_labels, *too_few(divided, goal, study))
        tuned = replace(
            tuned,
            calibration=gathered.path,
            diagnostics=(
                *study.plan.diagnostics,
                *of_data,
                *tuned.diagnostics,
                *unsure(tuned),
                *missed(tuned),
            ),
        )
        return _written(tuned, path, improvement_path, extends, page)


def _calibrated(
    study: Study, fitted_on: Study, feed: Feed, output: Path | None, progress: OnProgress
) -> Statistics:
    """The statistics that are there, else of the samples that are not for the verdict."""
    study.note(feed, "tuning", progress)
    if study.statistics is not None:
        return study.statistics
    gathered = fitted_on.calibrated(feed, "tuning", None, progress)
    if feed.preprocess is not None:
        gathered = replace(gathered, preprocess=feed.preprocess.model_dump_json())
    return gathered if output is None else gathered.save(output)


def _channel_groups(study: Study, samples: Sequence[Sample]) -> tuple[Part, ...]:
    """The groups of channels of the outputs, the same for all samples."""
    shares = study.judge([s.tensors for s in samples[:_FIRST]]).shares
    return tuple(part for share in shares.values() for part, _ in share.parts)


def _extends(recipe: str | Path, path: Path | None) -> str:
    """How the file to write names the recipe: a path is taken from its own folder (OQ485)."""
    base, _ = recipes.find(str(recipe), Path())
    if path is None:
        return str(recipe)
    folder = path.parent.resolve()
    if Path(recipe).is_file():
        try:
            return Path(os.path.relpath(base.resolve(), folder)).as_posix()
        except ValueError:  # another drive of Windows
            return base.resolve().as_posix()
    if recipes.find(str(recipe), folder)[0] != base:
        raise error(
            "OQ485",
            f"'{recipe}' would be another file beside '{path}'",
            fix="write into another folder with -o, or rename that file",
        )
    return str(recipe)


def _enough(samples: Sequence[Sample]) -> Sequence[Sample]:
    if len(samples) < LEAST:
        raise error(
            "OQ471",
            f"the data has {counted(len(samples), 'sample')}: some are to fit on, some to search "
            "with, and others for the verdict",
            fix=f"give at least {LEAST} of them, or better 64, each a run of its own",
        )
    return samples


def _settings(
    without: frozenset[ImproverName],
    study: Study,
    seed: int | None,
    saved: Checkpoint | None,
    progress: OnProgress,
) -> runner.Settings:
    return runner.Settings(
        without=without,
        described=f"tune {described(without, study.parts)}",
        seed=seed or 0,
        progress=lambda name, done, total: progress(Progress(stage=name, done=done, total=total)),
        keep=saved.keep if saved else lambda improvement, state: None,
    )


def _head(study: Study, recipe: str | Path) -> tuple[str, ...]:
    return (
        f"Made by 'onnxq tune' for {study.model.name}, beginning with {recipe}.",
        "Review it, delete a rule that costs more than it gives, and commit it.",
    )


def _written(
    tuned: Tuned,
    path: Path | None,
    improvement_path: Path | None,
    extends: str,
    page: Path | None,
) -> Tuned:
    """Write the improvement, the recipe and the page, each whole or not at all."""
    if improvement_path is not None and tuned.improvement is not None:
        tuned = replace(tuned, improvement=tuned.improvement.save(improvement_path))
    if path is not None:
        text = tuned.text.replace(extends_line(tuned.extends), extends_line(extends), 1)
        with whole_file(path) as part:
            part.write_text(text, encoding="utf-8")
        tuned = replace(tuned, path=path, text=text, extends=extends)
    if page is not None:
        shown = tuned.to_html()
        with whole_file(page) as part:
            part.write_text(shown, encoding="utf-8")
    return tuned
