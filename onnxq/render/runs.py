"""Runs of engines on a GPU, side by side, as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console

from onnxq.render.side_by_side import file_names
from onnxq.render.tables import table
from onnxq.render.text import figure, one_line
from onnxq.verification import EngineRun, VerifyReport


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRow:
    """An engine's figures; `speed` is the latency of the FP16 engine divided by its own.

    `decibels` is the lowest SQNR among its outputs.
    """

    name: str
    run: EngineRun
    speed: float | None
    decibels: float | None


def rows(report: VerifyReport) -> Iterator[EngineRow]:
    """The Q/DQ models' engines, then the float model's in FP16 and FP32."""
    quantized = [run.model for run in report.runs if run.types == "qdq"]
    names = dict(zip(quantized, file_names(quantized), strict=True))
    half = next((run.latency_ms for run in report.runs if run.types == "fp16"), None)
    for run in report.runs:
        decibels = [o.sqnr_db for o in run.outputs if o.sqnr_db is not None]
        yield EngineRow(
            name=names[run.model] if run.types == "qdq" else run.types.upper(),
            run=run,
            speed=half / run.latency_ms if half and run.latency_ms else None,
            decibels=min(decibels) if decibels else None,
        )


def runs(console: Console, report: VerifyReport) -> None:
    """Print the runs of the engines, or why they did not run."""
    if not report.runs:
        if any(model.compiled for model in report.models):
            console.print(f"engines: not run: {report.why_not_run}")
        return
    console.print("engines: run on the GPU, outputs against FP32 in onnxruntime")
    columns = ("engine", "ms", "with copies", "against FP16", "MB", "SQNR dB")
    table(console, columns, list(map(_cells, rows(report))))
    console.print("ms: median of 100 inferences with inputs and outputs on the GPU")


def _cells(row: EngineRow) -> tuple[str, ...]:
    size = row.run.engine_bytes
    return (
        one_line(row.name),
        figure(row.run.latency_ms, ".3g"),
        figure(row.run.latency_with_copies_ms, ".3g"),
        "-" if row.speed is None else f"{row.speed:.2f}x",
        figure(None if size is None else size / 1e6, ".1f"),
        figure(row.decibels, ".2f"),
    )
