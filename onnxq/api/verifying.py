"""verify: Q/DQ models linted, compared with their float model, and compiled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnx import ModelProto

from onnxq.api import data as datasets
from onnxq.api.checks import CheckOptions
from onnxq.api.data import PathOrPaths, Selection
from onnxq.api.inserted import QdqLike
from onnxq.api.requirements import require_page
from onnxq.api.subjects import (
    common_shapes,
    lineage_from,
    other_calibrations,
    recorded_preprocess,
)
from onnxq.calibration import expectations
from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import Diagnostic, error, warning
from onnxq.feeds.preprocess import Preprocess
from onnxq.files import whole_file
from onnxq.model.loading import Model
from onnxq.outputs import require_writable
from onnxq.planning import recipe as recipes
from onnxq.planning.recipe import Recipe
from onnxq.progress import OnProgress, Progress, silent
from onnxq.verification.data import UnusedSamples
from onnxq.verification.detections import DecoderLike
from onnxq.verification.numeric.draws import random_outputs
from onnxq.verification.numeric.parts import PartsLike
from onnxq.verification.origins import Lineage, PlanSources
from onnxq.verification.profiles import Profile, fixed, for_data
from onnxq.verification.report import VerifyReport
from onnxq.verification.tensorrt import TIMEOUT
from onnxq.verification.thresholds import Limits, Thresholds
from onnxq.verification.verifying import Backend, Checks
from onnxq.verification.verifying import verify as run_checks

ProfileLike = Sequence[int] | Profile


def verify(
    model: str | Path | ModelProto | Model,
    qdq: QdqLike | Sequence[QdqLike],
    *,
    data: Any = None,
    preprocess: str | Path | Preprocess | None = None,
    samples: int | None = None,
    seed: int | None = None,
    batch: int | None = None,
    ragged: bool = False,
    shapes: Mapping[str, ProfileLike] | None = None,
    calibration: Statistics | str | Path | None = None,
    calibration_folders: Sequence[Path] = (),
    parts: PartsLike | None = None,
    tensors: bool = False,
    labels: str | Path | None = None,
    detections: DecoderLike | None = None,
    detection_score: float | None = None,
    min_sqnr: Limits | None = None,
    min_cosine: Limits | None = None,
    min_int8: float | None = None,
    min_quantized: float | None = None,
    min_kept: float | None = None,
    max_new: float | None = None,
    max_top1_drop: float | None = None,
    max_cost_ratio: float | None = None,
    backend: Backend = "auto",
    targets: Sequence[str] = (),
    timeout: float = TIMEOUT,
    cache: bool = True,
    fp32_engine: bool = False,
    keep_engine: str | Path | None = None,
    gpu: str | Path | None = None,
    ort_library: PathOrPaths = (),
    plugin: PathOrPaths = (),
    recipes: Sequence[str | Path | Recipe] = (),
    plans: Sequence[str | Path] = (),
    html: str | Path | None = None,
    progress: OnProgress = silent,
) -> VerifyReport:
    """Check Q/DQ models: what TensorRT asks of them, their accuracy, and what it compiles.

    `qdq` is one Q/DQ model, by any tool, or several of one float model. `data` and the options
    beside it are those of `calibrate`; without data nothing is compared. Take other samples than
    for calibration: used samples are left out where there are enough others. The used samples are
    read from `calibration`; without it, verify looks beside each model and in
    `calibration_folders` for the calibration that the model records. Preprocessing and shapes also
    come from it.
    `shapes` gives sizes to dynamic inputs, as one shape or a Profile of least, usual and largest.
    `parts` of outputs, such as {"scores": "output0[:,4:]"}, are compared apart; without any of an
    output, its groups of channels that differ much in power are.
    `tensors` compares every pair and weighted op too; `labels`, a CSV file, gives top-1 and top-5,
    and `max_top1_drop` is how many points of top-1 may be lost.
    `detections` compares what a detector finds: "yolo", "yolox", "ssd", a Python file or a function
    `detections(outputs, inputs)`; `detection_score` is the least score of a detection. `min_kept`
    and `max_new` are limits for the shares that the Q/DQ model keeps and adds.
    `min_sqnr` (dB) and `min_cosine` are limits for every output or by name of output or part,
    `min_int8` and `min_quantized` shares of multiplications from 0 to 1; `report.passed` says
    whether all hold.
    `backend` is the compiler: "auto" compiles where TensorRT-RTX is installed, "onnxruntime" does
    not compile. `targets` are GPUs such as "sm89"; `timeout` is in seconds; `cache` keeps builds.
    `fp32_engine` compiles the float model too. `keep_engine` is a file for the engine of the only
    Q/DQ model; an engine runs on the GPUs of `targets` alone, with the version that built it.
    `gpu`, a name such as "l4" or a YAML file, asks for `report.cost`: what the engine moves and
    multiplies and the least time for it, beside the float model's engines in FP16 and FP32;
    `max_cost_ratio` is the highest ratio to FP16.
    `ort_library` is a library of custom ops for onnxruntime, `plugin` one of plugins for TensorRT,
    or several; without it, outputs behind an op that nobody knows are compared in front of the op,
    and the engine ends there. `html` is a file for the report as a page, which also shows the
    decisions of `recipes` and saved `plans`, if they made one of the models.
    Raises OQ301, OQ302, OQ320, OQ4xx for the data, OQ605, OQ601 for a backend that is not
    installed, OQ603 for models that do not belong together, OQ651 to OQ654, OQ664, OQ667, OQ670,
    OQ671, OQ680, OQ682, OQ683, OQ690 and OQ691.
    """
    qdq_models = [qdq] if isinstance(qdq, QdqLike) else list(qdq)
    if not qdq_models:
        raise error("OQ603", "there is no Q/DQ model to check", fix="give one or more")
    page = None if html is None else Path(html)
    profiles = profiles_of(shapes or (model.shapes if isinstance(model, Model) else None))
    options = CheckOptions(
        parts=parts,
        tensors=tensors,
        labels=labels,
        detections=detections,
        detection_score=detection_score,
        min_sqnr=min_sqnr,
        min_cosine=min_cosine,
        min_int8=min_int8,
        min_quantized=min_quantized,
        min_kept=min_kept,
        max_new=max_new,
        max_top1_drop=max_top1_drop,
        max_cost_ratio=max_cost_ratio,
        backend=backend,
        targets=targets,
        timeout=timeout,
        cache=cache,
        fp32_engine=fp32_engine,
        keep_engine=keep_engine,
        gpu=gpu,
        ort_library=ort_library,
        plugin=plugin,
    )
    options.require_data(data)
    if keep_engine is not None and len(qdq_models) > 1:
        message = f"--keep-engine is one file, and there are {len(qdq_models)} Q/DQ models"
        raise error("OQ667", message, fix="give one model, or leave --keep-engine out")
    checks = options.checks(profiles)
    sources = _sources(page, recipes, plans)
    with lineage_from(model, qdq_models, calibration, calibration_folders, sources) as lineage:
        sizes = {name: profile.opt for name, profile in profiles.items()}
        graph = lineage.float_model.graph_with(sizes) if parts else None
        checks, limits = options.for_model(checks, lineage.float_model.proto, graph)
        outputs = {"--html": page, "the engine": checks.engine}
        selection = Selection(samples=samples, seed=seed, batch=batch, ragged=ragged)
        data_files = () if data is None else datasets.request(data, preprocess, selection, {}).files
        _require_places(
            outputs, lineage, (*sources.files, calibration, *data_files, *options.files)
        )
        unused = None
        if data is not None:
            unused = _unused(lineage, data, preprocess, selection, profiles, progress)
        doubts = () if unused is None else tuple(dict.fromkeys(_doubts(lineage)))
        checking = Checking(
            lineage=lineage, checks=checks, thresholds=limits, doubts=doubts, html=page
        )
        return checking.run(unused, progress)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checking:
    """A verification whose options are checked: it can begin.

    `doubts` say that the calibration did not see what the model expects.
    """

    lineage: Lineage
    checks: Checks
    thresholds: Thresholds
    doubts: tuple[Diagnostic, ...] = ()
    html: Path | None = None

    def run(self, samples: UnusedSamples | None, progress: OnProgress) -> VerifyReport:
        """Make the report, and write the page."""
        length = None if samples is None else samples.length
        next_stage = "linting" if self.checks.backend == "onnxruntime" else "compiling"
        progress(Progress(stage=next_stage if samples is None else "comparing", total=length))

        def step(done: int) -> None:
            progress(Progress(stage="comparing", done=done, total=length))

        lineage = self.lineage
        report = run_checks(
            lineage.float_model,
            lineage.qdq,
            samples,
            self.checks,
            shapes=common_shapes(lineage.qdq) if samples is None else None,
            progress=step,
            compared=lambda: samples and progress(Progress(stage=next_stage)),
        )
        notes = (
            *self.doubts,
            *(samples.feed.warnings if samples is not None else ()),
            *other_calibrations(lineage.qdq),
            *(random_outputs(lineage.float_model.graph) if samples is not None else ()),
            *self._stray_sources(),
        )
        report = replace(report, notes=notes, thresholds=self.thresholds, lineage=lineage)
        if self.html is not None:
            text = report.to_html()
            with whole_file(self.html) as part:
                part.write_text(text, encoding="utf-8")
        return report

    def _stray_sources(self) -> Iterator[Diagnostic]:
        """Warn of recipes and plans that made none of the models (OQ672)."""
        lineage = self.lineage
        if lineage.sources.are_named and not any(o.plan for o in lineage.origins):
            yield warning(
                "OQ672",
                "the models do not record that --rules or --plan made one of them",
                fix="give the recipe or the plan that made them, for the float model that you gave",
            )


def _doubts(lineage: Lineage) -> Iterator[Diagnostic]:
    """What is wrong with the inputs of the calibrations, as `calibrate` says it."""
    graph, proto = lineage.float_model.graph, lineage.float_model.proto
    metadata = {p.key: p.value for p in proto.metadata_props}
    calibrations = (subject.calibration for subject in lineage.qdq)
    for statistics in (c for c in calibrations if c is not None):
        preprocess = statistics.preprocess
        bgr = bool(preprocess) and Preprocess.model_validate_json(preprocess).color == "BGR"
        yield from expectations.doubts(graph, statistics, metadata, default=False, bgr=bgr)


def profiles_of(shapes: Mapping[str, ProfileLike] | None) -> dict[str, Profile]:
    """The profile of every input that has a shape."""
    return {n: s if isinstance(s, Profile) else fixed(s) for n, s in (shapes or {}).items()}


def _sources(
    page: Path | None, rules: Sequence[str | Path | Recipe], plans: Sequence[str | Path]
) -> PlanSources:
    """What may have made the models (OQ671 without a page to show it)."""
    if page is None and (rules or plans):
        raise error(
            "OQ671",
            "--rules and --plan tell the page what decided, and there is no --html",
            fix="give --html report.html too, or leave them out",
        )
    return PlanSources(
        recipes=tuple(recipes.load(r) for r in rules), plans=tuple(Path(p) for p in plans)
    )


def _require_places(
    outputs: Mapping[str, Path | None], lineage: Lineage, others: Sequence[object]
) -> None:
    """Make sure that a page can be drawn and nothing overwrites an input (OQ501, OQ502, OQ670)."""
    require_page(outputs["--html"])
    models = (lineage.float_model, *lineage.qdq)
    inputs = [file for m in models for file in (m.file.path, *m.file.data_files)]
    calibrations = (s.calibration.path for s in lineage.qdq if s.calibration is not None)
    paths = [Path(other) for other in others if isinstance(other, str | Path)]
    require_writable(outputs, (*inputs, *calibrations, *paths))


def _unused(
    lineage: Lineage,
    data: Any,
    preprocess: str | Path | Preprocess | None,
    selection: Selection,
    profiles: Mapping[str, Profile],
    progress: OnProgress,
) -> UnusedSamples:
    """The samples to compare on, opened as for the calibration where nothing else is said."""
    sizes = {name: profile.opt for name, profile in profiles.items()}
    exact, usual = for_data(profiles, {})
    recorded = "" if preprocess is not None else recorded_preprocess(lineage.qdq)
    request = datasets.request(
        data,
        preprocess,
        selection,
        exact,
        recorded=recorded,
        usual_shapes={**common_shapes(lineage.qdq), **usual},
    )
    feed = request.open(lineage.float_model.graph_with(sizes))
    as_calibrated = request.otherwise is not None
    for note in datasets.notes(feed, preprocess, as_calibrated=as_calibrated, usual=usual):
        progress(Progress(stage="comparing", total=feed.length, note=note))
    return UnusedSamples(feed, [subject.calibration for subject in lineage.qdq])
