"""Verify: three independent answers on each Q/DQ model, in one report."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import onnx

from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import Diagnostic, OnnxqError
from onnxq.feeds.samples import Sample
from onnxq.insertion.float_types import computed_types
from onnxq.linting import QdqModel, lint
from onnxq.model import io as models
from onnxq.model.metadata import metadata_of
from onnxq.verification import tensorrt
from onnxq.verification.compiling import Compiling
from onnxq.verification.data import DataUse, Unused
from onnxq.verification.engines import SAMPLES, EngineRun, run_engines
from onnxq.verification.gpu import gpu
from onnxq.verification.labels import Labels
from onnxq.verification.numeric import NumericReport, Progress, compare_all, require_same_ports
from onnxq.verification.profiles import fixed
from onnxq.verification.report import ModelReport, VerifyReport
from onnxq.verification.tensorrt import DEFAULTS, CompileOptions

Backend = Literal["auto", "tensorrt-rtx", "tensorrt", "onnxruntime"]
ModelPath = str | Path


def verify(
    float_path: ModelPath,
    qdq_paths: Sequence[ModelPath],
    feed: Iterable[Sample] | Unused | None,
    *,
    tensors: bool = False,
    labels: Labels | None = None,
    backend: Backend = "auto",
    shapes: Mapping[str, Sequence[int]] | None = None,
    compiling: CompileOptions = DEFAULTS,
    fp32_engine: bool = False,
    progress: Progress | None = None,
) -> VerifyReport:
    """Lint each Q/DQ model, compare it with the float model on `feed`, and compile it.

    A feed that is `data.Unused` leaves out what was used for calibration, and the report tells.
    The float model runs once for all. `tensors` compares every pair and weighted op too, `labels`
    how often a classifier is right.
    `backend` "auto" compiles where TensorRT-RTX is installed, "onnxruntime" never does, and
    "tensorrt-rtx" demands it (BackendMissingError, before anything runs), and "tensorrt" demands
    that. Where there is a GPU the engines run on the first samples. Inputs with dynamic
    dimensions take their shape from `compiling`, `shapes`, else from the first sample. With
    `fp32_engine` the float model is compiled too, to compare the sizes. A model that cannot be
    read (OQ301, OQ302), models that do not belong together (OQ603) and unusable samples (OQ401,
    OQ404) raise; what a backend says is reported, and a model that fails does not stop the others.
    """
    tensorrt.require_backend(backend)
    if backend == "tensorrt":
        compiling = replace(compiling, compiler="tensorrt")
    float_model = models.load(float_path)
    read = [QdqModel(models.load(path)) for path in qdq_paths]
    for model in read:
        require_same_ports(float_model, model.proto)
    samples = None if feed is None else iter(feed)
    first = tuple(itertools.islice(samples or (), SAMPLES if gpu() else 1))
    seen = {n: a.shape for n, a in first[0].tensors.items()} if first else {}
    profiles = {n: fixed(s) for n, s in (*seen.items(), *(shapes or {}).items())}
    options = replace(compiling, profiles={**profiles, **compiling.profiles})
    numeric: tuple[NumericReport | Diagnostic | None, ...] = (None,) * len(read)
    if samples is not None:
        every = itertools.chain(first, samples)
        protos = [model.proto for model in read]
        numeric = _compare(
            float_model, protos, every, tensors=tensors, labels=labels, progress=progress
        )
    compiler = Compiling(float_path, options, fp32_engine=fp32_engine)
    reports = tuple(
        _report(path, model, compared, compiler if backend != "onnxruntime" else None)
        for path, model, compared in zip(qdq_paths, read, numeric, strict=True)
    )
    calibration = feed.calibration if isinstance(feed, Unused) else None
    runs, why_not_run = _runs(float_path, qdq_paths, reports, first, options, calibration)
    return VerifyReport(
        float_model=str(float_path),
        data=_data(feed, numeric),
        models=reports,
        runs=runs,
        why_not_run=why_not_run,
    )


def _report(
    path: ModelPath,
    model: QdqModel,
    compared: NumericReport | Diagnostic | None,
    compiler: Compiling | None,
) -> ModelReport:
    compiled = None if compiler is None else compiler.report(path, model)
    return ModelReport(
        model=str(path),
        made_by=metadata_of(model.proto),
        float_ops=computed_types(model.proto),
        lint=lint(model),
        numeric=None if isinstance(compared, Diagnostic) else compared,
        why_not_numeric=compared if isinstance(compared, Diagnostic) else None,
        compiled=None if isinstance(compiled, Diagnostic) else compiled,
        why_not_compiled=compiled if isinstance(compiled, Diagnostic) else None,
    )


def _runs(
    float_path: ModelPath,
    qdq_paths: Sequence[ModelPath],
    reports: Sequence[ModelReport],
    samples: Sequence[Sample],
    options: CompileOptions,
    calibration: Statistics | None,
) -> tuple[tuple[EngineRun, ...], str]:
    """What the engines did on a GPU, or why they did not run."""
    if not any(report.compiled is not None for report in reports):
        return (), "no compiler"
    if not gpu():
        return (), "no GPU"
    if not samples:
        return (), "no data"
    return run_engines(float_path, qdq_paths, samples, options, calibration), ""


def _data(
    feed: Iterable[Sample] | Unused | None, numeric: Sequence[NumericReport | Diagnostic | None]
) -> DataUse | None:
    compared = next((n.samples for n in numeric if isinstance(n, NumericReport)), None)
    if compared is None:
        return None
    return feed.use if isinstance(feed, Unused) else DataUse(compared=compared, used=None)


def _compare(
    float_model: onnx.ModelProto,
    qdq_models: Sequence[onnx.ModelProto],
    samples: Iterable[Sample],
    **how: Any,
) -> tuple[NumericReport | Diagnostic, ...]:
    try:
        return compare_all(float_model, qdq_models, samples, **how)
    except OnnxqError as failed:
        if failed.diagnostics[0].code != "OQ305":
            raise
        return (failed.diagnostics[0],) * len(qdq_models)
