"""quantize: calibrate, insert and verify in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from onnx import ModelProto

from onnxq.api import data as datasets
from onnxq.api.calibrating import Gathering, observable, observed
from onnxq.api.checks import CheckOptions
from onnxq.api.data import PathOrPaths, Selection
from onnxq.api.improving import Improving, improver_names, required
from onnxq.api.inserted import InsertResult, model_outputs
from onnxq.api.inserting import insert
from onnxq.api.long_runs import LongRun
from onnxq.api.planning import RECIPE, PlanLike, plan_files, plan_for
from onnxq.api.requirements import (
    require_again,
    require_data,
    require_opset,
    require_page,
    require_types,
)
from onnxq.api.studies import Study
from onnxq.api.subjects import lineage_of
from onnxq.api.verifying import (
    Checking,
    ProfileLike,
    profiles_of,
)
from onnxq.calibration import expectations
from onnxq.calibration.statistics import Statistics
from onnxq.descriptor import Calibrator
from onnxq.diagnostics import Diagnostic, error
from onnxq.feeds import DataRequest
from onnxq.feeds.preprocess import Preprocess
from onnxq.improvement.loss import LossLike, load_loss, loss_name
from onnxq.insertion.half import IoTypes
from onnxq.insertion.insert import Weights
from onnxq.insertion.precision import FloatName
from onnxq.model.loading import Existing, Model, load
from onnxq.outputs import require_writable
from onnxq.progress import OnProgress, Progress, each_note_once, silent
from onnxq.runnable import libraries
from onnxq.shown import Shown
from onnxq.verification.data import UnusedSamples
from onnxq.verification.detections import DecoderLike
from onnxq.verification.numeric.parts import PartsLike
from onnxq.verification.profiles import Profile, for_data, not_declared
from onnxq.verification.report import VerifyReport
from onnxq.verification.tensorrt import TIMEOUT
from onnxq.verification.thresholds import Limits
from onnxq.verification.verifying import Backend


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class QuantizeResult(Shown):
    """The statistics, the Q/DQ model and the report; no statistics for a plan that needs none.

    `profiles` are the shapes that the engine was built for, of inputs with dynamic sizes, and
    `plugins` the libraries that it was built with.
    """

    statistics: Statistics | None
    inserted: InsertResult
    report: VerifyReport
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()

    def save(self, path: str | Path) -> QuantizeResult:
        """Write the Q/DQ model, as `InsertResult.save` does."""
        return replace(self, inserted=self.inserted.save(path))

    @property
    def proto(self) -> ModelProto:
        """The Q/DQ model."""
        return self.inserted.proto

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All diagnostics, of calibration, improvement, insertion and verification, each once."""
        before = (self.statistics, self.inserted.improvement)
        gathered = (d for made in before if made is not None for d in made.diagnostics)
        return tuple(
            dict.fromkeys((*self.inserted.diagnostics, *gathered, *self.report.diagnostics))
        )

    @property
    def passed(self) -> bool:
        """True when the report has no error."""
        return self.report.passed

    def to_dict(self) -> dict[str, Any]:
        """The results of the three steps, and all diagnostics."""
        inserted = self.inserted.to_dict()
        return {
            "output": inserted["output"],
            "model": inserted["model"],
            "calibrate": None if self.statistics is None else self.statistics.to_dict(),
            "insert": inserted,
            "verify": self.report.to_dict(),
            "diagnostics": [d.to_dict() for d in self.diagnostics],
        }


def quantize(
    model: str | Path | ModelProto | Model,
    data: Any = None,
    recipe: PlanLike = RECIPE,
    *,
    preprocess: str | Path | Preprocess | None = None,
    verify_data: Any = None,
    shapes: Mapping[str, ProfileLike] | None = None,
    samples: int | None = None,
    seed: int | None = None,
    batch: int | None = None,
    ragged: bool = False,
    calibrator: Calibrator = "histogram",
    checkpoint: str | Path | None = None,
    resume: bool = False,
    workers: int | None = None,
    cluster: str | None = None,
    provider: str | None = None,
    max_memory: int | str | None = None,
    ort_library: PathOrPaths = (),
    weights: Weights = "int8",
    float_type: FloatName = "fp32",
    io_types: IoTypes = "keep",
    opset: int | None = None,
    existing: Existing = "refuse",
    strict: bool = False,
    improve: bool = False,
    without: Iterable[str] = (),
    loss: LossLike | None = None,
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
    plugin: PathOrPaths = (),
    output: str | Path | None = None,
    calibration_output: str | Path | None = None,
    improvement_output: str | Path | None = None,
    html: str | Path | None = None,
    progress: OnProgress = silent,
) -> QuantizeResult:
    """Calibrate on `data`, insert by `recipe`, and verify on `verify_data`, else on `data`.

    With `improve` the numbers of the model are improved between the first two steps, on `data`.
    Options are those of `calibrate`, `improve`, `insert` and `verify`; everything is checked before
    the first sample is read. A recipe for weights alone needs no data. The files `output` (the Q/DQ
    model), `calibration_output`, `improvement_output` and `html` are written as soon as there is
    something to write; without them `result.save(path)` writes the model. Statistics serve every
    recipe, not only this one.
    Raises what the three functions raise; `result.passed` is False when a limit is missed.
    """
    require_types(weights, float_type, io_types)
    left_out = improver_names(without)
    if not improve and (left_out or loss is not None):
        option = "--without" if left_out else "--loss"
        raise error("OQ217", f"{option} has no effect without --improve", fix="add --improve")
    to_verify = data if verify_data is None else verify_data
    if to_verify is data:
        require_again(data, "quantize", "verify_data")
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
    options.require_data(to_verify)
    run = LongRun(
        checkpoint=checkpoint,
        resume=resume,
        workers=workers,
        cluster=cluster,
        provider=provider,
        max_memory=max_memory,
    )
    progress = each_note_once(progress)
    custom_ops = libraries(ort_library)
    settings = replace(run.settings(calibrator), libraries=custom_ops)
    profiles = profiles_of(shapes)
    sizes = {name: profile.opt for name, profile in profiles.items()}
    model = load(model, existing=existing, shapes=sizes)
    checks, limits = options.for_model(options.checks(profiles), model.proto, model.graph)
    selection = Selection(samples=samples, seed=seed, batch=batch, ragged=ragged)
    exact, usual = for_data(profiles, model.shapes)
    request, other = (
        None
        if source is None
        else datasets.request(source, preprocess, selection, exact, usual_shapes=usual)
        for source in (data, to_verify)
    )
    path, calibration_path, improvement_path, page = (
        None if p is None else Path(p)
        for p in (output, calibration_output, improvement_output, html)
    )
    require_page(page)
    require_writable(
        {
            **model_outputs(path),
            "the calibration": calibration_path,
            "the improvement": improvement_path,
            "--html": page,
            "the engine": checks.engine,
            "the checkpoint": None if run.checkpoint is None else Path(run.checkpoint),
        },
        (*model.files, *_inputs(request, other, recipe, *options.files, loss)),
    )
    planned = plan_for(model, recipe, strict=strict)
    require_data(planned, request)
    require_opset(opset, planned, float_type)
    feed = None if other is None else other.open(model.graph)
    improving = statistics = None
    if improve:
        improving = Improving(
            study=Study(
                model=model,
                plan=planned,
                statistics=None,
                request=required(request),
                preprocess=preprocess,
                parts=checks.parts,
                libraries=custom_ops,
            ),
            without=left_out,
            loss=None if loss is None else load_loss(loss),
            loss_name=loss_name(loss),
            seed=seed or 0,
            output=improvement_path,
        )
    is_complete = model.existing == "keep" and not planned.pairs and not observable(model)
    if request is not None and not is_complete:
        statistics = Gathering(
            model=model,
            tensors=observed(model, None, planned),
            plan=planned,
            request=request,
            preprocess=preprocess,
            settings=settings,
            float_type=float_type,
            run=run,
            output=calibration_path,
        ).run_with(progress)
    improvement = None
    if improving is not None:
        study = replace(improving.study, statistics=statistics)
        improvement = replace(improving, study=study).run(progress)
    inserted = insert(
        model,
        planned,
        statistics,
        improvement=improvement,
        weights=weights,
        float_type=float_type,
        io_types=io_types,
        opset=opset,
        output=path,
    )
    with TemporaryDirectory(prefix="onnxq-") as folder:
        lineage = lineage_of(model, inserted, Path(folder))
        if feed is not None and statistics is None:
            for note in datasets.notes(feed, preprocess, usual=usual):
                progress(Progress(stage="comparing", total=feed.length, note=note))
        unused = None if feed is None else UnusedSamples(feed, [statistics])
        checking = Checking(
            lineage=lineage,
            checks=checks,
            thresholds=limits,
            doubts=() if statistics is None else expectations.among(statistics.diagnostics),
            html=page,
        )
        report = checking.run(unused, progress)
    return QuantizeResult(
        statistics=statistics,
        inserted=inserted,
        report=report,
        profiles=not_declared(model.proto, profiles),
        plugins=checks.compiling.plugins,
    )


def _inputs(
    request: DataRequest | None,
    other: DataRequest | None,
    recipe: PlanLike,
    *others: object,
) -> tuple[Path | None, ...]:
    """Files that must not be overwritten, beside the model's."""
    data = (file for r in (request, other) if r is not None for file in r.files)
    return (
        *data,
        *plan_files(recipe),
        *(Path(other) for other in others if isinstance(other, str | Path)),
    )
