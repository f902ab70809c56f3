"""train: a Q/DQ model closer to the float model, by training all of it at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from onnx import ModelProto

from onnxq.api import data as datasets
from onnxq.api.data import PathOrPaths, Selection, Shapes
from onnxq.api.distillation import distillation
from onnxq.api.long_runs import LongRun, resumable
from onnxq.diagnostics import (
    BackendMissingError,
    Diagnostic,
    error,
    require_choice,
    warning,
)
from onnxq.feeds.preprocess import Preprocess
from onnxq.improvement.samples import ADVISED, held
from onnxq.model import io as model_files
from onnxq.model.loading import Model
from onnxq.outputs import require_writable
from onnxq.progress import OnProgress, Progress, silent
from onnxq.tuning.metrics.metric import MetricLike, load_metric, metric_file
from onnxq.verification.numeric.parts import PartsLike

if TYPE_CHECKING:
    from onnxq.training.checkpoint import Checkpoint
    from onnxq.training.losses import TrainingLossLike
    from onnxq.training.trained import Trained

Learn = Literal["all", "amax"]


def train(
    model: str | Path | ModelProto,
    teacher: str | Path | ModelProto | Model,
    data: Any,
    *,
    epochs: int = 10,
    batch: int = 8,
    rate: float = 1.0,
    patience: int | None = None,
    learn: Learn = "all",
    loss: TrainingLossLike | None = None,
    metric: MetricLike | None = None,
    parts: PartsLike | None = None,
    preprocess: str | Path | Preprocess | None = None,
    shapes: Shapes | None = None,
    samples: int | None = None,
    seed: int | None = None,
    ragged: bool = False,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    ort_library: PathOrPaths = (),
    output: str | Path | None = None,
    log: str | Path | None = None,
    progress: OnProgress = silent,
) -> Trained:
    """Train the weights, biases and amax of a Q/DQ model against the float model, its `teacher`.

    Four of five samples are trained on; the fifth are held out and choose the epoch that is kept.
    The loss is noise power / signal power, averaged over the parts of all outputs: `parts` as for
    `verify`; or `loss`, a function `compute(outputs, teacher, inputs)` of mappings of names to
    torch tensors of a batch, or a Python file that has it. `metric`, as for `tune`, judges the
    samples held out instead of the loss. `batch` samples make a step, `rate` multiplies the usual
    rates, which fall as a cosine does over `epochs`; training stops when no epoch was better for
    `patience`. `learn="amax"` leaves weights and biases as they are. `checkpoint` is a file that
    gets the state after every epoch, from which `resume` goes on. `output` is the model to write,
    `log` a CSV file with a row for each epoch. The model and its teacher are not changed.
    Raises OQ471, OQ490 to OQ494 for the metric, OQ431, OQ433, OQ434, OQ701 to OQ703, OQ710 to
    OQ712, OQ714, and what loading and reading the data raise.
    """
    require_torch()
    _require_sensible(rate, seed or 0, epochs=epochs, batch=batch, patience=patience)
    require_choice("learn", learn, Learn)
    run_file = LongRun(checkpoint=checkpoint, resume=resume)
    from onnxq.training.loop import Schedule
    from onnxq.training.losses import loss_file, loss_identity, training_loss

    models = distillation(model, teacher, shapes, parts, ort_library)
    selection = Selection(samples=samples, seed=None if samples is None else seed, ragged=ragged)
    request = datasets.request(data, preprocess, selection, models.teacher.shapes)
    own_loss = None if loss is None else training_loss(loss)
    outputs = {
        "the model": None if output is None else Path(output),
        "the log": None if log is None else Path(log),
        "the checkpoint": None if checkpoint is None else Path(checkpoint),
    }
    own = (loss_file(loss), metric_file(metric))
    require_writable(outputs, (*models.files, *request.files, *own))
    feed = request.open(models.teacher.graph)
    for note in datasets.notes(feed, preprocess):
        progress(Progress(stage="training", note=note))
    whole = held(feed)
    with ExitStack() as open_:
        scorer = None if metric is None else open_.enter_context(load_metric(metric))
        schedule = Schedule(epochs=epochs, batch=batch, rate=rate, patience=patience, learn=learn)
        identity = {
            "model": models.file.digest,
            "teacher": models.teacher.digest,
            "data": " ".join(sample.digest for sample in whole.samples),
            "loss": loss_identity(loss),
            "part": " ".join(f"{p.name}={p.output}{p.where}" for p in models.parts),
            "metric": "" if scorer is None else scorer.digest,
            "settings": f"{schedule} {seed or 0}",
        }
        kept = open_.enter_context(_kept(run_file, identity, progress))
        job = models.run(whole.samples, own_loss, scorer, schedule, seed or 0, progress)
        trained = replace(job, log=outputs["the log"]).run(kept)
        notes = (*feed.warnings, *whole.diagnostics, *_few(len(whole.samples)))
        trained = replace(
            trained, path=outputs["the model"], diagnostics=(*notes, *trained.diagnostics)
        )
        if trained.path is not None:  # before the checkpoint is removed
            external = bool(models.file.data_files)
            model_files.save(trained.proto, trained.path, external=external)
        return trained


def require_torch() -> None:
    """Raise OQ701 where torch is not installed."""
    if find_spec("torch") is None:
        message, fix = "torch is not installed: training needs it", "pip install 'onnxq[torch]'"
        raise BackendMissingError(Diagnostic(code="OQ701", message=message, fix=fix))


_LARGEST_RATE: Final = 1e30  # beyond, the optimizer's float32 overflow


def _require_sensible(rate: float, seed: int, **counts: int | None) -> None:
    """Raise OQ710 for a number that makes no sense."""
    for name, value in counts.items():
        if value is not None and value < 1:
            raise error("OQ710", f"--{name} {value} is none", fix="give 1 or more")
    if seed < 0:
        raise error("OQ710", f"--seed {seed} is below 0", fix="give 0 or more")
    if not 0 < rate <= _LARGEST_RATE:
        fix = "give a number above 0; 1 is usual"
        raise error("OQ710", f"--rate {rate:g} cannot train", fix=fix)


def _few(count: int) -> Iterator[Diagnostic]:
    if count < ADVISED:
        yield warning(
            "OQ472",
            f"{count} samples are few: what is learned from them may not hold for others",
            fix=f"give {2 * ADVISED} or more",
        )


@contextmanager
def _kept(
    run_file: LongRun, identity: Mapping[str, str], progress: OnProgress
) -> Iterator[Checkpoint | None]:
    """The checkpoint of a training, removed once all is done (OQ433, OQ437)."""
    from onnxq.training.checkpoint import Checkpoint

    if run_file.checkpoint is None:
        yield None
        return
    path = Path(run_file.checkpoint)
    checkpoint = Checkpoint(path=path, run=identity, resume=run_file.resume)
    with resumable(checkpoint, "training", progress):
        yield checkpoint
