"""The last three lines of quantize: what it wrote, how good that is, and what to do next."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from rich.console import Console

from onnxq.api.quantizing import QuantizeResult
from onnxq.diagnostics import Severity
from onnxq.planning.coverage import coverage
from onnxq.render.side_by_side import types_of
from onnxq.render.text import one_line, share
from onnxq.verification import TYPICAL, Comparison, ModelReport, Profile
from onnxq.verification.thresholds import refusals

_INDEX: Final = 24  # characters of the index of a part
_LOST: Final = 0.01  # of top-1
_CHANGED: Final = 0.05  # of the detections, lost or new
MISSED: Final = "OQ604"  # a threshold of the user


def ending(console: Console, result: QuantizeResult) -> None:
    """Print the three lines."""
    console.print(f"wrote: {', '.join(_written(result)) or 'nothing, result.save(path) does'}")
    console.print(f"verdict: {verdict(result)}")
    console.print(f"next: {following(result)}", soft_wrap=True)  # to be copied whole


def _written(result: QuantizeResult) -> Iterator[str]:
    inserted = result.inserted
    if inserted.path is not None:
        yield f"{inserted.path}{_size(inserted.path, *inserted.data_files)}"
    for made in (result.statistics, inserted.improvement):
        if made is not None and made.path is not None:
            yield str(made.path)


def _size(*paths: Path) -> str:
    """The size of files; nothing where one has been moved since."""
    try:
        megabytes = sum(path.stat().st_size for path in paths) / 1e6
    except OSError:
        return ""
    return f" ({f'{megabytes:.1f}' if megabytes >= 0.1 else '<0.1'} MB)"


def verdict(result: QuantizeResult) -> str:
    """One word, the figure that decides, and how much is in int8."""
    model = result.report.models[0]
    word, figure = _judged(model)
    word = word if result.passed else "failed (see the errors)"
    return f"{', '.join(filter(None, (word, figure)))}; {_share(result, model)}"


def _worst(model: ModelReport) -> Comparison | None:
    """The output or part that is lowest, measured by what is typical of its kind."""
    judged = [c for output in model.outputs.values() for c in output.judged if c.is_float]
    return min(judged, key=_margin, default=None)


def _margin(comparison: Comparison) -> float:
    sqnr = comparison.sqnr_db
    return -math.inf if sqnr is None else sqnr - TYPICAL[comparison.kind].low


def _judged(model: ModelReport) -> tuple[str, str]:
    """A word and the figure that decides: top-1, detections, or the lowest SQNR."""
    numeric, worst = model.numeric, _worst(model)
    if numeric is None or worst is None:
        return "not compared", ""
    if (top1 := numeric.accuracy) is not None:
        figure = f"top-1 {top1.top1:.1%}, float {top1.float_top1:.1%}"
        return ("good" if top1.float_top1 - top1.top1 <= _LOST else "low"), figure
    boxes = numeric.detections
    if boxes is not None and boxes.kept is not None and boxes.new is not None:
        figure = f"{boxes.kept:.1%} of the detections kept, {boxes.new:.1%} new"
        return ("good" if max(1 - boxes.kept, boxes.new) <= _CHANGED else "low"), figure
    if _margin(worst) < 0:
        return "low", _sqnr(worst)
    is_good = (worst.sqnr_db or 0) >= TYPICAL[worst.kind].high
    return ("good" if is_good else "fair"), _sqnr(worst)


def _sqnr(worst: Comparison) -> str:
    name = one_line(worst.name)
    if worst.where and worst.where not in name and len(worst.where) <= _INDEX:
        name += worst.where
    if worst.sqnr_db == math.inf:
        return f"{name} is exact"
    return f"{name} has " + ("no figure" if worst.sqnr_db is None else f"{worst.sqnr_db:.1f} dB")


def _share(result: QuantizeResult, model: ModelReport) -> str:
    """The ops and multiplications that the engine computes in the quantized type."""
    compiled = model.compiled
    if compiled is None:
        n = coverage(result.inserted.plan)
        ops = f"{n['weighted_ops_quantized']} of {n['weighted_ops']} ops"
        return f"pairs: {ops}, not compiled"
    first = types_of([compiled])[0]
    counts = compiled.counts.values()
    ops = f"{sum(getattr(c, first) for c in counts)} of {sum(c.total for c in counts)} ops"
    macs = (compiled.macs or {}).get(first)
    return f"{first}: {ops}" + ("" if macs is None else f", {share(macs)} of MACs")


def following(result: QuantizeResult) -> str:
    """The command that makes sense now."""
    model = _named(result.inserted.model.path, "MODEL")
    qdq = _named(result.inserted.path, "QDQ")
    errors = [d.code for d in result.diagnostics if d.severity is Severity.ERROR]
    others = [code for code in errors if code != MISSED]
    if others:
        return f"onnxq explain {others[0]}"
    word, _ = _judged(result.report.models[0])
    if errors and not _misses_accuracy(result):
        return f"onnxq explain {MISSED}"
    if errors or word == "low":
        if result.inserted.improvement is None:
            return "the same command with --improve"
        return f"onnxq tune {model} --data DATA --min-sqnr DB"
    data = result.report.data
    if data is None or (data.used and word != "not compared"):
        return f"onnxq verify {model} {qdq} --data OTHERS"
    return f"trtexec --onnx={qdq} --stronglyTyped{_sizes(result.profiles)}"


def _sizes(profiles: Mapping[str, Profile]) -> str:
    """The options on inputs with dynamic sizes, each of which trtexec would take for 1."""
    if not profiles:
        return ""
    fields = {
        option: ",".join(
            f"{name}:{'x'.join(map(str, profile[index]))}" for name, profile in profiles.items()
        )
        for index, option in enumerate(("minShapes", "optShapes", "maxShapes"))
    }
    if len(set(fields.values())) == 1:
        fields = {"shapes": fields["optShapes"]}
    return "".join(f" --{option}={shlex.quote(text)}" for option, text in fields.items())


def _misses_accuracy(result: QuantizeResult) -> bool:
    """True where a threshold is missed that better numbers could reach."""
    least = replace(result.report.thresholds, int8=None, quantized=None, cost_ratio=None)
    return bool(tuple(refusals(result.report.models, least)))


def _named(path: Path | None, otherwise: str) -> str:
    return otherwise if path is None else shlex.quote(str(path))
