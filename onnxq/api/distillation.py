"""A Q/DQ model and the float model that it is trained against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from onnx import ModelProto

from onnxq.api.data import PathOrPaths, Shapes
from onnxq.diagnostics import OnnxqError, counted, error
from onnxq.feeds.samples import Sample
from onnxq.improvement.loss import Judge
from onnxq.model.graph import Graph
from onnxq.model.io import ModelFile
from onnxq.model.loading import Model, load
from onnxq.progress import OnProgress, Progress
from onnxq.runnable import libraries
from onnxq.sessions import Libraries
from onnxq.tuning.metrics.metric import Metric
from onnxq.verification.numeric.parts import Part, PartsLike, parse_parts

if TYPE_CHECKING:
    from onnxq.torch.module import QuantizedModule
    from onnxq.training.loop import Schedule
    from onnxq.training.losses import TrainingLoss
    from onnxq.training.run import Run

LEAST: Final = 5  # samples: four to train on, one held out
_EVERY: Final = 5  # of so many samples the last is held out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distillation:
    """A Q/DQ model and its teacher, and how their outputs are compared."""

    file: ModelFile
    module: QuantizedModule
    teacher: Model
    parts: tuple[Part, ...]
    libraries: Libraries

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that must not be overwritten."""
        return (*self.file.files, *self.teacher.files)

    def judge(self, samples: Sequence[Sample]) -> Judge:
        """What compares with the teacher on some samples."""
        return Judge(
            model=self.teacher.proto,
            graph=self.teacher.graph,
            samples=[sample.tensors for sample in samples],
            parts=self.parts,
            libraries=self.libraries,
        )

    def run(
        self,
        samples: Sequence[Sample],
        loss: TrainingLoss | None,
        metric: Metric | None,
        schedule: Schedule,
        seed: int,
        progress: OnProgress,
    ) -> Run:
        """A training that can begin (OQ471)."""
        from onnxq.training.run import Run

        fitted, held_out = _split(samples)
        return Run(
            file=self.file,
            module=self.module,
            fit=self.judge(fitted),
            held=self.judge(held_out),
            held_samples=held_out,
            loss=loss,
            metric=metric,
            schedule=schedule,
            seed=seed,
            teacher=self.teacher.name,
            log=None,
            on_step=lambda done, total, note: progress(
                Progress(stage="training", done=done, total=total, note=note)
            ),
        )


def distillation(
    model: str | Path | ModelProto,
    teacher: str | Path | ModelProto | Model,
    shapes: Shapes | None,
    parts: PartsLike | None,
    ort_library: PathOrPaths,
) -> Distillation:
    """Read both models (OQ303, OQ680, OQ702, OQ703, OQ712)."""
    from onnxq.torch.files import model_file
    from onnxq.torch.module import QuantizedModule
    from onnxq.training.latent import take_values_of

    float_model, file = _teacher(teacher, shapes), model_file(model)
    graph = load(file.proto, existing="keep", shapes=float_model.shapes).graph
    _require_alike(graph, float_model.graph, file.name, float_model.name)
    module = QuantizedModule(graph)
    take_values_of(float_model.graph, module, graph)
    return Distillation(
        file=file,
        module=module,
        teacher=float_model,
        parts=parse_parts(parts, float_model.graph),
        libraries=libraries(ort_library),
    )


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
