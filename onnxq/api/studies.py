"""A model with its plan and data: what improvement, sensitivity and tuning begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from onnx import ModelProto, TensorProto

from onnxq.api import data as datasets
from onnxq.api.calibrating import Gathering, observed
from onnxq.api.data import PathOrPaths, Selection, Shapes
from onnxq.api.long_runs import LongRun
from onnxq.api.planning import PlanLike, plan_for
from onnxq.api.requirements import require_calibration_of
from onnxq.calibration.calibrate import Settings as CalibrationSettings
from onnxq.calibration.calibrate import calibrate as run_samples
from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import error
from onnxq.feeds import DataRequest, Feed
from onnxq.feeds.preprocess import Preprocess
from onnxq.feeds.samples import Tensors
from onnxq.improvement.edits import Edits
from onnxq.improvement.loss import Judge, Loss
from onnxq.improvement.subject import Subject
from onnxq.insertion.scales import compute_scales
from onnxq.model.loading import Existing, Model, load
from onnxq.planning.plan import Plan
from onnxq.progress import OnProgress, Progress
from onnxq.runnable import libraries
from onnxq.sessions import Libraries
from onnxq.verification.numeric.parts import Part, PartsLike, parse_parts

_COMPARED: Final = (
    *(TensorProto.UNDEFINED, TensorProto.FLOAT, TensorProto.FLOAT16),
    *(TensorProto.BFLOAT16, TensorProto.DOUBLE),
)  # types of outputs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Study:
    """A model, its plan and its data, all checked.

    `statistics` is None where the data is to be calibrated on first. `files` are those that must
    not be overwritten.
    """

    model: Model
    plan: Plan
    statistics: Statistics | None
    request: DataRequest
    preprocess: str | Path | Preprocess | None
    parts: tuple[Part, ...] = ()
    libraries: Libraries = ()

    def __post_init__(self) -> None:
        """Raise OQ477 for a model that gives nothing to compare."""
        graph = self.model.graph
        if not any(graph.type(name).dtype in _COMPARED for name in graph.outputs):
            raise error(
                "OQ477",
                f"no output of '{self.model.name}' is float: there is nothing to come closer to",
                fix="let the model give out what the whole numbers are made of, such as scores",
            )

    def on(self, samples: Sequence[Tensors]) -> Study:
        """The same on some samples, each a run, instead of the data."""
        request = DataRequest(source=list(samples), shapes=self.model.shapes, ragged=True)
        return replace(self, request=request, preprocess=None)

    def open(self) -> Feed:
        """The samples."""
        return self.request.open(self.model.graph)

    def calibrated(
        self, feed: Feed, stage: str, output: Path | None, progress: OnProgress
    ) -> Statistics:
        """The statistics: those of the study, else of its data, for which `output` is a file."""
        if self.statistics is None:
            return Gathering(
                model=self.model,
                tensors=observed(self.model, None, self.plan),
                plan=self.plan,
                request=self.request,
                preprocess=self.preprocess,
                settings=CalibrationSettings(libraries=self.libraries),
                run=LongRun(),
                output=output,
            ).run_with(progress)
        self.note(feed, stage, progress)
        return self.statistics

    def note(self, feed: Feed, stage: str, progress: OnProgress) -> None:
        """Say how pictures become inputs."""
        as_calibrated = self.request.otherwise is not None
        for note in datasets.notes(feed, self.preprocess, as_calibrated=as_calibrated):
            progress(Progress(stage=stage, note=note))

    def subject(self, statistics: Statistics) -> Subject:
        """The model with the scales of its plan."""
        scales = compute_scales(self.model.graph, self.plan, statistics)
        settings = CalibrationSettings(libraries=self.libraries)
        return Subject(
            original=self.model,
            model=self.model.proto,
            plan=scales.carried_out(self.plan),
            plan_digest=self.plan.digest,
            statistics=statistics,
            scales=scales,
            edits=Edits(),
            observe=lambda proto, graph, tensors: run_samples(
                proto, graph, self.request.open(graph), tensors=tensors, settings=settings
            ),
        )

    def judge(self, samples: Sequence[Tensors], own: Loss | None = None) -> Judge:
        """What compares Q/DQ models with the model on some samples."""
        return Judge(
            model=self.model.proto,
            graph=self.model.graph,
            samples=samples,
            parts=self.parts,
            own=own,
            libraries=self.libraries,
        )


def study_of(
    model: str | Path | ModelProto | Model,
    data: Any,
    plan: PlanLike,
    statistics: Statistics | str | Path | None,
    *,
    parts: PartsLike | None,
    preprocess: str | Path | Preprocess | None,
    shapes: Shapes | None,
    selection: Selection,
    existing: Existing,
    ort_library: PathOrPaths,
) -> Study:
    """Read what a study is made of.

    Raises OQ411 for statistics of another model, OQ477, OQ680 for a part, and what `plan` and
    opening the data raise.
    """
    custom_ops = libraries(ort_library)
    model = load(model, existing=existing, shapes=shapes)
    planned = plan_for(model, plan)
    calibration = Statistics.load(statistics) if isinstance(statistics, str | Path) else statistics
    require_calibration_of(model, calibration)
    if calibration is not None and not model.shapes:
        model = model.with_shapes(calibration.input_shapes)
    recorded = "" if calibration is None else calibration.preprocess
    request = datasets.request(data, preprocess, selection, model.shapes, recorded=recorded)
    return Study(
        model=model,
        plan=planned,
        statistics=calibration,
        request=request,
        preprocess=preprocess,
        parts=parse_parts(parts, model.graph),
        libraries=custom_ops,
    )


def files_of(study: Study) -> tuple[Path | None, ...]:
    """Files that a study was read from, which must not be overwritten."""
    gathered = None if study.statistics is None else study.statistics.path
    return (*study.model.files, *study.request.files, *study.plan.files, gathered)
