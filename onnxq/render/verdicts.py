"""Whether a Q/DQ model is good, in a word, with the figure that decides."""

from __future__ import annotations

import math
from typing import Final

from rich.console import Console

from onnxq.calibration.expectations import among
from onnxq.diagnostics import has_errors
from onnxq.render.side_by_side import types_of
from onnxq.render.text import one_line, share
from onnxq.verification import TYPICAL, Comparison, CompiledReport, ModelReport, VerifyReport
from onnxq.verification.thresholds import refusals

UNJUDGED: Final = "not judged"
_INDEX: Final = 24  # characters of the index of a part
_LOST: Final = 0.01  # of top-1
_CHANGED: Final = 0.05  # of the detections, lost or new


def verdict(report: VerifyReport, model: ModelReport) -> tuple[str, str]:
    """A word and the figure that decides, or why no figure does."""
    word, figure = judged(model)
    if has_errors((*model.diagnostics, *refusals([model], report.thresholds))):
        word = "failed (see the errors)"
    elif doubts := among(report.notes):
        word = f"doubtful, the input may be wrong ({doubts[0].code})"
    return word, figure


def judged(model: ModelReport) -> tuple[str, str]:
    """A word and the figure that decides: top-1, detections, or the lowest SQNR."""
    numeric, worst = model.numeric, worst_part(model)
    if numeric is None or worst is None:
        return "not compared", ""
    if (top1 := numeric.accuracy) is not None:
        figure = f"top-1 {top1.top1:.1%}, float {top1.float_top1:.1%}"
        return ("good" if top1.float_top1 - top1.top1 <= _LOST else "low"), figure
    boxes = numeric.detections
    if boxes is not None and boxes.kept is None:
        return UNJUDGED, "the float model detects nothing in these samples"
    if boxes is not None and boxes.kept is not None and boxes.new is not None:
        figure = f"{boxes.kept:.1%} of the detections kept, {boxes.new:.1%} new"
        return ("good" if max(1 - boxes.kept, boxes.new) <= _CHANGED else "low"), figure
    if _margin(worst) < 0:
        return "low", _sqnr(worst)
    is_good = (worst.sqnr_db or 0) >= TYPICAL[worst.kind].high
    return ("good" if is_good else "fair"), _sqnr(worst)


def quantized_share(compiled: CompiledReport) -> str:
    """The ops and multiplications that the engine computes in the quantized type."""
    first = types_of([compiled])[0]
    counts = compiled.counts.values()
    ops = f"{sum(getattr(c, first) for c in counts)} of {sum(c.total for c in counts)} ops"
    macs = (compiled.macs or {}).get(first)
    return f"{first}: {ops}" + ("" if macs is None else f", {share(macs)} of MACs")


def in_a_line(report: VerifyReport, model: ModelReport) -> str:
    """The word, the figure that decides, and what the engine computes in the quantized type."""
    word = ", ".join(filter(None, verdict(report, model)))
    return word if model.compiled is None else f"{word}; {quantized_share(model.compiled)}"


def of_all(console: Console, report: VerifyReport) -> None:
    """Print a line for each model that was compared."""
    for model in report.models:
        if model.numeric is not None:
            name = f" of {one_line(model.model)}" if len(report.models) > 1 else ""
            console.print(f"verdict{name}: {in_a_line(report, model)}")


def worst_part(model: ModelReport) -> Comparison | None:
    """The output or part that is lowest, measured by what is typical of its kind."""
    parts = [c for output in model.outputs.values() for c in output.judged if c.is_float]
    return min(parts, key=_margin, default=None)


def _margin(comparison: Comparison) -> float:
    sqnr = comparison.sqnr_db
    return -math.inf if sqnr is None else sqnr - TYPICAL[comparison.kind].low


def _sqnr(worst: Comparison) -> str:
    name = one_line(worst.name)
    if worst.where and worst.where not in name and len(worst.where) <= _INDEX:
        name += worst.where
    if worst.sqnr_db == math.inf:
        return f"{name} is exact"
    return f"{name} has " + ("no figure" if worst.sqnr_db is None else f"{worst.sqnr_db:.1f} dB")
