"""Engines on a GPU for comparison, Q/DQ, FP16 and FP32: their outputs and latencies.

The FP16 engine is built from the float model as `onnxq insert --float fp16` converts it, because an
engine has the types of its file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from onnxq.calibration.statistics import Statistics
from onnxq.cost.engine import EngineTypes
from onnxq.diagnostics import Diagnostic, OnnxqError
from onnxq.feeds.samples import Sample
from onnxq.insertion.lowering import in_half
from onnxq.insertion.precision import HALF
from onnxq.insertion.scales import Scales
from onnxq.model import io as models
from onnxq.model import preparing
from onnxq.model.graph import Graph
from onnxq.passed_arrays import load_arrays, save_arrays
from onnxq.planning import cascade, recipe
from onnxq.runnable import runnable
from onnxq.verification import builder, tensorrt
from onnxq.verification.numeric.comparison import Comparison, Totals
from onnxq.verification.numeric.runners import infer, runner
from onnxq.verification.tensorrt import CompileOptions

SAMPLES: Final = 8  # on which engines run
_NO_STATISTICS: Final = Statistics(model_digest="", calibrator="max")
_NO_SCALES: Final = Scales(by_pair={}, diagnostics=())


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRun:
    """One engine on the GPU: a Q/DQ model's, or the float model's in FP16 or FP32.

    `model` is the file that it was built from. `latency_ms` is the median time of an inference with
    inputs and outputs on the GPU, `latency_with_copies_ms` with both on the host; both include
    Polygraphy's own time. `outputs` are compared with those of the FP32 model in onnxruntime.
    `problem` says why figures are missing.
    """

    model: str
    types: EngineTypes
    engine_bytes: int | None = None
    latency_ms: float | None = None
    latency_with_copies_ms: float | None = None
    outputs: tuple[Comparison, ...] = ()
    problem: Diagnostic | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltEngine:
    """An engine in a file with the builder's `result`, or the `problem` that prevented it."""

    model: str
    types: EngineTypes
    engine: Path
    result: Mapping[str, Any]
    problem: Diagnostic | None = None


def run_engines(
    float_path: str | Path,
    qdq_paths: Sequence[str | Path],
    samples: Sequence[Sample],
    options: CompileOptions,
    calibration: Statistics | None = None,
) -> tuple[EngineRun, ...]:
    """Build the engine of each Q/DQ model, and the float model's in FP16 and FP32, and run each.

    All engines run on the same samples. The calibration shows which ops exceed the range of FP16. A
    build or run that fails is a `problem` of its result.
    """
    with tempfile.TemporaryDirectory(prefix="onnxq-") as folder, _files(samples) as files:
        whole = models.load(float_path)
        float_part = runnable(whole, options.libraries)
        known = whole if float_part is None else float_part.model
        with runner(known, "the float model", options.libraries) as reference:
            expected = [infer(reference, sample.tensors) for sample in samples]
        return tuple(
            _run(built, files, samples, expected, options)
            for built in build_engines(float_path, qdq_paths, options, Path(folder), calibration)
        )


def build_engines(
    float_path: str | Path,
    qdq_paths: Sequence[str | Path],
    options: CompileOptions,
    folder: Path,
    calibration: Statistics | None = None,
) -> Iterator[BuiltEngine]:
    """Write the engines to files in a folder, one at a time as the caller iterates."""
    for path in qdq_paths:
        yield _build(path, "qdq", partial(Path, path), options, folder)
    fp16 = partial(fp16_model, float_path, folder, calibration)
    yield _build(float_path, "fp16", fp16, options, folder)
    yield _build(float_path, "fp32", partial(Path, float_path), options, folder)


def fp16_model(float_path: str | Path, folder: Path, calibration: Statistics | None = None) -> Path:
    """Write the float model in FP16, with the shipped rules for ops that stay in FP32.

    The calibration shows which ops exceed the range of FP16. Inputs and outputs keep their types.
    """
    calibration = calibration or _NO_STATISTICS
    model = preparing.prepare(models.load(float_path), float_path)
    graph = Graph(model, shapes=calibration.input_shapes)
    plan = cascade.plan(graph, recipe.load("half"))
    lowered = in_half(lambda scales: model, _NO_SCALES, graph, plan, calibration, HALF["fp16"])
    path = folder / "fp16.onnx"
    models.save(lowered.model, path)
    return path


def _build(
    model: str | Path,
    types: EngineTypes,
    file: Callable[[], Path],
    options: CompileOptions,
    folder: Path,
) -> BuiltEngine:
    engine = folder / "engine"
    result: Mapping[str, Any] = {}
    problem = None
    try:
        with tempfile.TemporaryDirectory(prefix="onnxq-") as copies:
            result = _engine(file(), engine, options, Path(copies))
    except OnnxqError as failed:
        problem = failed.diagnostics[0]
    return BuiltEngine(model=str(model), types=types, engine=engine, result=result, problem=problem)


def _engine(
    model: Path, engine: Path, options: CompileOptions, folder: Path, without: Sequence[str] = ()
) -> Mapping[str, Any]:
    """Build the engine of a model, or of the part in front of ops that the compiler lacks."""
    job = {**tensorrt.job(model, options, folder, without), "engine": str(engine)}
    result = builder.build(job, options.timeout, rtx=_is_rtx(options))
    if (unknown := result.get("unknown")) and not without:
        return _engine(model, engine, options, folder, unknown)
    return result


def _run(
    built: BuiltEngine,
    files: Sequence[str],
    samples: Sequence[Sample],
    expected: Sequence[Mapping[str, Any]],
    options: CompileOptions,
) -> EngineRun:
    if built.problem is not None:
        return EngineRun(model=built.model, types=built.types, problem=built.problem)
    size = int(built.result["engine_bytes"])
    with tempfile.TemporaryDirectory(prefix="onnxq-") as folder:
        job = {
            "engine": str(built.engine),
            "samples": files,
            "outputs": folder,
            "plugins": options.plugins,
        }
        try:
            times = builder.run(job, options.timeout, rtx=_is_rtx(options))
        except OnnxqError as failed:
            problem = failed.diagnostics[0]
            return EngineRun(
                model=built.model, types=built.types, engine_bytes=size, problem=problem
            )
        return EngineRun(
            model=built.model,
            types=built.types,
            engine_bytes=size,
            latency_ms=1000 * times["seconds"],
            latency_with_copies_ms=1000 * times["seconds_with_copies"],
            outputs=_compared(Path(folder), samples, expected),
        )


def _is_rtx(options: CompileOptions) -> bool:
    return options.compiler == "tensorrt-rtx"


@contextmanager
def _files(samples: Sequence[Sample]) -> Iterator[list[str]]:
    with tempfile.TemporaryDirectory(prefix="onnxq-") as folder:
        paths = [str(Path(folder) / f"{index}.npz") for index in range(len(samples))]
        for path, sample in zip(paths, samples, strict=True):
            save_arrays(path, sample.tensors)
        yield paths


def _compared(
    folder: Path, samples: Sequence[Sample], expected: Sequence[Mapping[str, Any]]
) -> tuple[Comparison, ...]:
    totals = {name: Totals(name) for name in expected[0]}
    for index, (sample, outputs) in enumerate(zip(samples, expected, strict=True)):
        computed = load_arrays(folder / f"{index}.npz")
        for name in [n for n in totals if n not in computed]:
            del totals[name]  # onnxruntime and the compiler know other ops
        for name, total in totals.items():
            total.add(sample.name, outputs[name], computed[name])
    return tuple(total.result() for total in totals.values())
