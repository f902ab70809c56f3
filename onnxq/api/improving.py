"""improve: other numbers in the same model and pairs, so that less accuracy is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from onnx import ModelProto

from onnxq.api.data import PathOrPaths, Selection, Shapes
from onnxq.api.long_runs import LongRun, resumable
from onnxq.api.planning import RECIPE, PlanLike
from onnxq.api.studies import Study, files_of, study_of
from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import Diagnostic, OnnxqError, did_you_mean, error
from onnxq.feeds import DataRequest
from onnxq.feeds.preprocess import Preprocess
from onnxq.improvement import runner
from onnxq.improvement.checkpoint import Checkpoint
from onnxq.improvement.improvement import Improvement
from onnxq.improvement.loss import LossLike, load_loss, loss_name
from onnxq.improvement.samples import LEAST, split
from onnxq.model.loading import Existing, Model
from onnxq.outputs import require_writable
from onnxq.planning.improvers import IMPROVER_NAMES, ImproverName
from onnxq.progress import OnProgress, Progress, silent
from onnxq.verification.numeric.parts import Part, PartsLike


def improve(
    model: str | Path | ModelProto | Model,
    data: Any,
    plan: PlanLike = RECIPE,
    statistics: Statistics | str | Path | None = None,
    *,
    without: Iterable[str] = (),
    parts: PartsLike | None = None,
    loss: LossLike | None = None,
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
    calibration_output: str | Path | None = None,
    progress: OnProgress = silent,
) -> Improvement:
    """Change weights, biases and scales so that the Q/DQ model comes closer to the float model.

    The improvers are those that the `improve` of the plan's rules let act, less the names in
    `without`. Three of four samples are fitted on; each improver is kept only where the fourth get
    better. `statistics` are those of `calibrate`; without them the data is calibrated on first, and
    `calibration_output` is a file for that. The loss is noise power / signal power, averaged over
    the parts of all outputs: `parts` as for `verify`, or `loss`, a function `loss(float_outputs,
    outputs) -> float` of one sample or a Python file that has it. `checkpoint` is a file that gets
    what is done so far, from which `resume` goes on. `output` is the file to write. The model is
    not changed.
    Raises OQ470 for a name in `without`, OQ471, OQ475, OQ411 for statistics of another model,
    OQ477, OQ431, OQ433, OQ434, and what `plan` and reading the data raise.
    """
    left_out = improver_names(without)
    study = study_of(
        model,
        data,
        plan,
        statistics,
        parts=parts,
        preprocess=preprocess,
        shapes=shapes,
        selection=Selection(samples=samples, seed=seed, batch=batch, ragged=ragged),
        existing=existing,
        ort_library=ort_library,
    )
    path, calibration_path = (None if p is None else Path(p) for p in (output, calibration_output))
    own = None if loss is None or callable(loss) else Path(loss)
    outputs = {
        "the improvement": path,
        "the calibration": calibration_path,
        "the checkpoint": None if checkpoint is None else Path(checkpoint),
    }
    require_writable(outputs, (*files_of(study), own))
    job = Improving(
        study=study,
        without=left_out,
        loss=None if loss is None else load_loss(loss),
        loss_name=loss_name(loss),
        seed=seed or 0,
        calibration_output=calibration_path,
        output=path,
        run_file=LongRun(checkpoint=checkpoint, resume=resume),
    )
    return job.run(progress)


def improver_names(without: Iterable[str]) -> frozenset[ImproverName]:
    """The names of improvers (OQ470)."""
    by_text: Mapping[str, ImproverName] = {name: name for name in IMPROVER_NAMES}
    names = tuple(without)
    problems = [
        Diagnostic(
            code="OQ470",
            message=f"there is no improver '{name}'",
            fix=did_you_mean(name, by_text, otherwise=f"choose from {', '.join(by_text)}"),
        )
        for name in names
        if name not in by_text
    ]
    if problems:
        raise OnnxqError(*problems)
    return frozenset(by_text[name] for name in names)


def required(request: DataRequest | None) -> DataRequest:
    """The data to improve on (OQ471)."""
    if request is None:
        raise error(
            "OQ471",
            "there is no data to improve the model on",
            fix=f"give at least {LEAST} samples, or leave the improvement out",
        )
    return request


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Improving:
    """An improvement whose options are checked: it can begin."""

    study: Study
    without: frozenset[ImproverName] = frozenset()
    loss: Callable[..., float] | None = None
    loss_name: str = ""
    seed: int = 0
    output: Path | None = None
    calibration_output: Path | None = None
    run_file: LongRun = field(default_factory=LongRun)

    def run(self, progress: OnProgress) -> Improvement:
        """Calibrate where there are no statistics, and run the improvers."""
        feed = self.study.open()
        samples = split(feed)
        output = self.calibration_output
        statistics = self.study.calibrated(feed, "improving", output, progress)
        subject = self.study.subject(statistics)
        fitting, validation = (
            self.study.judge(part, self.loss) for part in (samples.fitting, samples.validation)
        )
        with checkpoint_of(self.run_file, "improving", progress) as checkpoint:
            settings = runner.Settings(
                without=self.without,
                loss=self.loss_name,
                described=described(self.without, self.study.parts),
                seed=self.seed,
                progress=lambda name, done, total: progress(
                    Progress(stage=name, done=done, total=total)
                ),
                keep=checkpoint.keep if checkpoint else lambda improvement, state: None,
            )
            begun = checkpoint.begun if checkpoint else lambda run: None
            improvement = runner.improve(subject, samples, (fitting, validation), settings, begun)
        diagnostics = (*self.study.plan.diagnostics, *feed.warnings, *improvement.diagnostics)
        improvement = replace(improvement, diagnostics=diagnostics)
        return improvement if self.output is None else improvement.save(self.output)


def described(without: frozenset[ImproverName], parts: Iterable[Part]) -> str:
    """The options that change an improvement, beside the loss."""
    named = " ".join(f"{p.name}={p.output}{p.where}" for p in parts)
    return f"without {' '.join(sorted(without))}; parts {named}"


@contextmanager
def checkpoint_of(
    run_file: LongRun, stage: str, progress: OnProgress
) -> Iterator[Checkpoint | None]:
    """The checkpoint of an improvement, removed once all is done (OQ433)."""
    if run_file.checkpoint is None:
        yield None
        return
    checkpoint = Checkpoint(path=Path(run_file.checkpoint), resume=run_file.resume)
    with resumable(checkpoint, stage, progress):
        yield checkpoint
