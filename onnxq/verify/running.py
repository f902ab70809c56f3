"""Engines on a GPU: their outputs against onnxruntime, and the time that one inference takes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnx

from onnxq.diagnostics import Diagnostic, OnnxqError
from onnxq.feeds.samples import Sample
from onnxq.verify import builder
from onnxq.verify.arrays import load_arrays, save_arrays
from onnxq.verify.numeric.comparison import Comparison, Totals
from onnxq.verify.numeric.runners import infer, runner

SAMPLES: Final = 8  # that engines are run on


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRun:
    """One engine on the GPU: median milliseconds of an inference, and its outputs.

    Inputs and outputs stay on the GPU while it is timed, and Polygraphy's own time is in it.
    `outputs` are compared with the FP32 model's in onnxruntime. `problem` says why it did not run.
    """

    name: str
    latency_ms: float | None = None
    outputs: tuple[Comparison, ...] = ()
    problem: Diagnostic | None = None


def run_engines(
    float_model: onnx.ModelProto,
    jobs: Mapping[str, Mapping[str, Any]],
    samples: Sequence[Sample],
    *,
    timeout: float,
    rtx: bool,
) -> tuple[EngineRun, ...]:
    """Build and run the engine of each job (`builder.build`), by name, on every sample."""
    with _files(samples) as paths, runner(float_model, "the float model") as reference:
        expected = [infer(reference, sample.tensors) for sample in samples]
        runs = []
        for name, job in jobs.items():
            with tempfile.TemporaryDirectory(prefix="onnxq-") as folder:
                whole = {**job, "samples": paths, "outputs": folder}
                try:
                    seconds = builder.build(whole, timeout, rtx=rtx)["seconds"]
                except OnnxqError as failed:
                    runs.append(EngineRun(name=name, problem=failed.diagnostics[0]))
                    continue
                outputs = _compared(Path(folder), samples, expected)
            runs.append(EngineRun(name=name, latency_ms=1000 * seconds, outputs=outputs))
    return tuple(runs)


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
        found = load_arrays(folder / f"{index}.npz")
        for name, total in totals.items():
            total.add(sample.name, outputs[name], found[name])
    return tuple(total.result() for total in totals.values())
