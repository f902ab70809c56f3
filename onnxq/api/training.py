"""train: a Q/DQ model closer to the float model, by training all of it at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from onnx import ModelProto

from onnxq.api import data as datasets
from onnxq.api.data import PathOrPaths, Selection, Shapes
from onnxq.api.long_runs import LongRun, locked_file
from onnxq.diagnostics import (
    BackendMissingError,
    Diagnostic,
    OnnxqError,
    counted,
    error,
    require_choice,
    warning,
)
from onnxq.feeds.preprocess import Preprocess
from onnxq.feeds.samples import Sample
from onnxq.improvement.loss import Judge
from onnxq.improvement.samples import ADVISED, held
from onnxq.model import io as models
from onnxq.model.graph import Graph
from onnxq.model.loading import Model, load
from onnxq.outputs import require_writable
from onnxq.progress import OnProgress, Progress, silent
from onnxq.runnable import libraries
from onnxq.tuning.metrics.metric import MetricLike, load_metric
from onnxq.verification.numeric.parts import PartsLike, parse_parts

if TYPE_CHECKING:
    from onnxq.training.checkpoint import Checkpoint
    from onnxq.training.losses import TrainingLossLike
    from onnxq.training.trained import Trained

Learn = Literal["all", "amax"]
LEAST: Final = 5  # samples: four to train on, one held out
_EVERY: Final = 5  # of so many samples the last is held out


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
    from onnxq.torch.files import model_file
    from onnxq.torch.module import QuantizedModule
    from onnxq.training.latent import take_values_of
    from onnxq.training.loop import Schedule
    from onnxq.training.losses import loss_file, loss_identity, training_loss
    from onnxq.training.run import Run

    float_model, file = _teacher(teacher, shapes), model_file(model)
    graph = load(file.proto, existing="keep", shapes=float_model.shapes).graph
    _require_alike(graph, float_model.graph, file.name, float_model.name)
    drawn_by = None if samples is None else seed
    selection = Selection(samples=samples, seed=drawn_by, ragged=ragged)
    request = datasets.request(data, preprocess, selection, float_model.shapes)
    custom_ops, own_loss = libraries(ort_library), None if loss is None else training_loss(loss)
    outputs = {
        "the model": None if output is None else Path(output),
        "the log": None if log is None else Path(log),
        "the checkpoint": None if checkpoint is None else Path(checkpoint),
    }
    inputs = (*file.files, *float_model.files, *request.files, loss_file(loss))
    require_writable(outputs, inputs)
    module = QuantizedModule(graph)
    take_values_of(float_model.graph, module, graph)
    feed = request.open(float_model.graph)
    for note in datasets.notes(feed, preprocess):
        progress(Progress(stage="training", note=note))
    whole = held(feed)
    fitted, held_out = _split(whole.samples)

    def judge(some: Sequence[Sample]) -> Judge:
        return Judge(
            model=float_model.proto,
            graph=float_model.graph,
            samples=[sample.tensors for sample in some],
            parts=parse_parts(parts, float_model.graph),
            libraries=custom_ops,
        )

    def on_step(done: int, total: int, note: str) -> None:
        progress(Progress(stage="training", done=done, total=total, note=note))

    with ExitStack() as open_:
        job = Run(
            file=file,
            module=module,
            fit=judge(fitted),
            held=judge(held_out),
            held_samples=held_out,
            loss=own_loss,
            metric=None if metric is None else open_.enter_context(load_metric(metric)),
            schedule=Schedule(
                epochs=epochs, batch=batch, rate=rate, patience=patience, learn=learn
            ),
            seed=seed or 0,
            teacher=float_model.name,
            log=outputs["the log"],
            on_step=on_step,
        )
        identity = {
            "model": file.digest,
            "teacher": float_model.digest,
            "data": " ".join(sample.digest for sample in whole.samples),
            "loss": loss_identity(loss),
            "part": " ".join(f"{p.name}={p.output}{p.where}" for p in job.fit.parts),
            "metric": "" if job.metric is None else job.metric.digest,
            "settings": f"{job.schedule} {job.seed}",
        }
        trained = job.run(open_.enter_context(_kept(run_file, identity, progress)))
        notes = (*feed.warnings, *whole.diagnostics, *_few(len(whole.samples)))
        trained = replace(
            trained,
            path=outputs["the model"],
            diagnostics=(*notes, *trained.diagnostics),
        )
        if trained.path is not None:  # before the checkpoint is removed
            models.save(trained.proto, trained.path, external=bool(file.data_files))
        return trained


def require_torch() -> None:
    """Raise OQ701 where torch is not installed."""
    if find_spec("torch") is None:
        message, fix = "torch is not installed: training needs it", "pip install 'onnxq[torch]'"
        raise BackendMissingError(Diagnostic(code="OQ701", message=message, fix=fix))


def _require_sensible(rate: float, seed: int, **counts: int | None) -> None:
    """Raise OQ710 for a number that makes no sense."""
    for name, value in counts.items():
        if value is not None and value < 1:
            raise error("OQ710", f"--{name} {value} is none", fix="give 1 or more")
    if seed < 0:
        raise error("OQ710", f"--seed {seed} is below 0", fix="give 0 or more")
    if not 0 < rate < math.inf:
        fix = "give a number above 0; 1 is usual"
        raise error("OQ710", f"--rate {rate:g} trains nothing", fix=fix)


def _teacher(teacher: str | Path | ModelProto | Model, shapes: Shapes | None) -> Model:
    """The float model (OQ303 where it has pairs)."""
    try:
        return load(teacher, shapes=shapes)
    except OnnxqError as reason:
        (first, *_) = reason.diagnostics
        if first.code != "OQ303":
            raise
        fix = "give the float model as the teacher"
        raise OnnxqError(replace(first, fix=fix)) from None


def _require_alike(graph: Graph, teacher: Graph, name: str, teacher_name: str) -> None:
    """Raise OQ712 for models with other inputs or outputs, by name, type and rank."""
    for what in ("inputs", "outputs"):
        own, others = getattr(graph, what), getattr(teacher, what)
        if set(own) != set(others):
            raise error(
                "OQ712",
                f"the {what} of '{name}' are {', '.join(own)}, and those of '{teacher_name}' "
                f"{', '.join(others)}",
                fix="give the float model that the Q/DQ model was made from",
            )
        for port in own:
            one, other = graph.type(port), teacher.type(port)
            ranks = {len(kind.shape) for kind in (one, other) if kind.shape is not None}
            if one.dtype != other.dtype or len(ranks) > 1:
                raise error(
                    "OQ712",
                    f"'{port}' has another type or rank in '{name}' than in '{teacher_name}'",
                    fix="give the float model that the Q/DQ model was made from",
                )


def _split(samples: Sequence[Sample]) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """Those to train on, and those held out (OQ471)."""
    if len(samples) < LEAST:
        raise error(
            "OQ471",
            f"the data has {counted(len(samples), 'sample')}: some are to train on, and others to "
            "judge whether that helped",
            fix=f"give at least {LEAST} of them, or better 128, each a run of its own",
        )
    fitted = [s for number, s in enumerate(samples, start=1) if number % _EVERY]
    return fitted, samples[_EVERY - 1 :: _EVERY]


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
    with locked_file(path):
        checkpoint = Checkpoint(path=path, run=identity, resume=run_file.resume)
        checkpoint.require_resumable()
        try:
            yield checkpoint
        except KeyboardInterrupt:
            if path.exists():  # not before the first epoch
                note = f"interrupted; '{path}' has the epochs so far, --resume continues"
                progress(Progress(stage="training", note=note, urgent=True))
            raise
        checkpoint.remove()
