"""Verify: three independent answers on each Q/DQ model, in one report."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import onnx

from onnxq.calibration.statistics import Statistics
from onnxq.cost.gpu import Gpu
from onnxq.cost.report import CostReport
from onnxq.diagnostics import Diagnostic, OnnxqError
from onnxq.feeds.samples import Sample
from onnxq.insertion.float_types import computed_types
from onnxq.linting import lint
from onnxq.verification import tensorrt
from onnxq.verification.compiled import CompiledReport
from onnxq.verification.compiling import ReportCompiler
from onnxq.verification.costing import Costing
from onnxq.verification.data import DataUse, UnusedSamples
from onnxq.verification.detections import Detections
from onnxq.verification.engines import SAMPLES, EngineRun, run_engines
from onnxq.verification.gpu import gpu
from onnxq.verification.labels import Labels
from onnxq.verification.numeric import NumericReport, compare_all, require_same_ports
from onnxq.verification.numeric.parts import Part
from onnxq.verification.profiles import fixed
from onnxq.verification.report import ModelReport, VerifyReport
from onnxq.verification.subjects import FloatSubject, QdqSubject
from onnxq.verification.tensorrt import DEFAULTS, CompileOptions

Backend = Literal["auto", "tensorrt-rtx", "tensorrt", "onnxruntime"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """The checks to make.

    `parts` of outputs are compared apart. `tensors` compares every pair and weighted op too,
    `labels` how often a classifier is right, `detections` what a detector finds.
    The backend "auto" compiles if TensorRT-RTX is installed, "onnxruntime" never compiles, and
    "tensorrt-rtx" and "tensorrt" require that compiler. `fp32_engine` compiles the float model too,
    to compare the sizes; the engine of the only Q/DQ model is written to the file `engine`. With a
    `gpu` the report has the cost of the engines on it.
    """

    parts: tuple[Part, ...] = ()
    tensors: bool = False
    labels: Labels | None = None
    detections: Detections | None = None
    backend: Backend = "auto"
    compiling: CompileOptions = DEFAULTS
    fp32_engine: bool = False
    engine: Path | None = None
    gpu: Gpu | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Run:
    """One verification in progress: its models, options with all shapes, and the first samples."""

    float_model: FloatSubject
    qdq: Sequence[QdqSubject]
    checks: Checks
    options: CompileOptions
    first: tuple[Sample, ...] = field(default=())

    @property
    def calibration(self) -> Statistics | None:
        """The first known calibration: it shows what exceeds the range of FP16."""
        return next((s.calibration for s in self.qdq if s.calibration is not None), None)


def verify(
    float_model: FloatSubject,
    qdq: Sequence[QdqSubject],
    samples: UnusedSamples | None,
    checks: Checks,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    progress: Callable[[int], Any] | None = None,
    compared: Callable[[], Any] | None = None,
) -> VerifyReport:
    """Lint each Q/DQ model, compare it with the float model on `samples`, and compile it.

    The float model runs once per sample. With a GPU the engines run on the first samples.
    The shape of an input with dynamic dimensions comes from `checks.compiling`, else from `shapes`,
    else from the first sample. `progress` gets the number of compared samples; `compared` is called
    after the last. Raises OQ603 for models that do not belong together, BackendMissingError
    (OQ601), and OQ401 or OQ404 for unusable samples. Errors of a backend are part of the report;
    the other models are still checked.
    """
    tensorrt.require_backend(checks.backend)
    compiling = checks.compiling
    if checks.backend == "tensorrt":
        compiling = replace(compiling, compiler="tensorrt")
    for subject in qdq:
        require_same_ports(float_model.proto, subject.proto)
    remaining = None if samples is None else iter(samples)
    first = tuple(itertools.islice(remaining or (), SAMPLES if gpu() else 1))
    fed = {n: a.shape for n, a in first[0].tensors.items()} if first else {}
    profiles = {n: fixed(s) for n, s in (*fed.items(), *(shapes or {}).items())}
    options = replace(compiling, profiles={**profiles, **compiling.profiles})
    run = _Run(float_model=float_model, qdq=qdq, checks=checks, options=options, first=first)
    every = None if remaining is None else itertools.chain(first, remaining)
    numeric = _compare(run, every, progress)
    if compared is not None:
        compared()
    reports = _reports(run, numeric)
    runs, why_not_run = _runs(run, reports)
    return VerifyReport(
        float_model=float_model.name,
        float_pairs=float_model.pairs,
        data=_data(samples, numeric),
        models=reports,
        runs=runs,
        why_not_run=why_not_run,
    )


def _reports(
    run: _Run, numeric: Sequence[NumericReport | Diagnostic | None]
) -> tuple[ModelReport, ...]:
    compiler = None
    if run.checks.backend != "onnxruntime":
        compiler = ReportCompiler(
            run.float_model,
            run.options,
            fp32_engine=run.checks.fp32_engine,
            engine=run.checks.engine,
        )
    costing = None
    if compiler is not None and run.checks.gpu is not None:
        costing = Costing(
            float_model=run.float_model,
            options=run.options,
            gpu=run.checks.gpu,
            calibration=run.calibration,
        )
    return tuple(
        _report(subject, compared, compiler, costing)
        for subject, compared in zip(run.qdq, numeric, strict=True)
    )


def _report(
    subject: QdqSubject,
    compared: NumericReport | Diagnostic | None,
    compiler: ReportCompiler | None,
    costing: Costing | None,
) -> ModelReport:
    compiled = None if compiler is None else compiler.report(subject)
    cost = None
    if costing is not None and isinstance(compiled, CompiledReport):
        cost = costing.report(subject)
    return ModelReport(
        model=subject.name,
        made_by=subject.made_by,
        float_ops=computed_types(subject.model.graph),
        lint=lint(subject.model),
        numeric=None if isinstance(compared, Diagnostic) else compared,
        why_not_numeric=compared if isinstance(compared, Diagnostic) else None,
        compiled=None if isinstance(compiled, Diagnostic) else compiled,
        why_not_compiled=compiled if isinstance(compiled, Diagnostic) else None,
        cost=cost if isinstance(cost, CostReport) else None,
        why_no_cost=cost if isinstance(cost, Diagnostic) else None,
    )


def _runs(run: _Run, reports: Sequence[ModelReport]) -> tuple[tuple[EngineRun, ...], str]:
    """The runs of the engines on a GPU, or the reason why there are none."""
    if not any(report.compiled is not None for report in reports):
        return (), "no compiler"
    if not gpu():
        return (), "no GPU"
    if not run.first:
        return (), "no data"
    paths = [subject.path for subject in run.qdq]
    return run_engines(run.float_model.path, paths, run.first, run.options, run.calibration), ""


def _data(
    samples: UnusedSamples | None, numeric: Sequence[NumericReport | Diagnostic | None]
) -> DataUse | None:
    if samples is None or not any(isinstance(n, NumericReport) for n in numeric):
        return None
    return samples.use


def _compare(
    run: _Run, samples: Iterable[Sample] | None, progress: Callable[[int], Any] | None
) -> Sequence[NumericReport | Diagnostic | None]:
    if samples is None:
        return (None,) * len(run.qdq)
    protos: list[onnx.ModelProto] = [subject.proto for subject in run.qdq]
    try:
        return compare_all(
            run.float_model.prepared,
            protos,
            samples,
            parts=run.checks.parts,
            tensors=run.checks.tensors,
            labels=run.checks.labels,
            detections=run.checks.detections,
            libraries=run.options.libraries,
            progress=progress,
        )
    except OnnxqError as failed:
        if failed.diagnostics[0].code != "OQ305":
            raise
        return (failed.diagnostics[0],) * len(run.qdq)
