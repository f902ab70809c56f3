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
from onnxq.calibration.expectations import among
from onnxq.diagnostics import Severity
from onnxq.planning.coverage import coverage
from onnxq.render import verdicts
from onnxq.render.verdicts import UNJUDGED, judged, quantized_share, worst_part
from onnxq.verification import ModelReport, Profile, VerifyReport
from onnxq.verification.thresholds import refusals

_HALF: Final = 3.0  # dB more have half the noise
MISSED: Final = "OQ604"  # a threshold of the user
_CLASSIFIER: Final = "OQ462"


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
    word = ", ".join(filter(None, verdicts.verdict(result.report, model)))
    return f"{word}; {_share(result, model)}"


def _share(result: QuantizeResult, model: ModelReport) -> str:
    """What is computed in the quantized type; of a model without an engine, what has pairs."""
    if model.compiled is not None:
        return quantized_share(model.compiled)
    n = coverage(result.inserted.plan)
    return f"pairs: {n['weighted_ops_quantized']} of {n['weighted_ops']} ops, not compiled"


def following(result: QuantizeResult) -> str:
    """The command that makes sense now."""
    model = _named(result.inserted.model.path, "MODEL")
    qdq = _named(result.inserted.path, "QDQ")
    errors = [d.code for d in result.diagnostics if d.severity is Severity.ERROR]
    others = [code for code in errors if code != MISSED]
    if others:
        return f"onnxq explain {others[0]}"
    if doubts := among(result.report.notes):
        return _other_data(doubts[0].code)
    word, _ = judged(result.report.models[0])
    if word == UNJUDGED:
        return "the same command with samples that show what the model detects"
    if errors and not _misses_accuracy(result):
        return f"onnxq explain {MISSED}"
    if errors or word == "low":
        if result.inserted.improvement is None:
            return "the same command with --improve"
        return f"onnxq tune {model} --data DATA --min-sqnr {_goal(result.report)}"
    data = result.report.data
    if data is None or (data.used and word != "not compared"):
        return f"onnxq verify {model} {qdq} --data OTHERS"
    plugins = "".join(f" --staticPlugins={shlex.quote(path)}" for path in result.plugins)
    return f"trtexec --onnx={qdq} --stronglyTyped{_sizes(result.profiles)}{plugins}"


def _other_data(doubt: str) -> str:
    if doubt == _CLASSIFIER:
        return f"the same command with --preprocess imagenet, or that of production ({doubt})"
    if doubt == "OQ463":
        return f"the same command with other samples ({doubt})"
    return f"the same command with the preprocessing of production ({doubt})"


def _goal(report: VerifyReport) -> str:
    """The user's threshold for every output, else half the noise of the worst part."""
    if report.thresholds.every_sqnr is not None:
        return f"{report.thresholds.every_sqnr:g}"
    worst = worst_part(report.models[0])
    if worst is None or worst.sqnr_db is None or not math.isfinite(worst.sqnr_db):
        return "DB"
    return f"{worst.sqnr_db + _HALF:.0f}"


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
