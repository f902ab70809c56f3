"""A card for each quantized activation: its histogram, the chosen amax and those of the methods."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from onnxq.calibration import summary
from onnxq.calibration.histogram import BitHistogram
from onnxq.calibration.statistics import Statistics, TensorStatistics
from onnxq.diagnostics import counted
from onnxq.planning.plan import Pair
from onnxq.render.html import charts
from onnxq.render.html.layers import sqnr
from onnxq.render.html.page_models import PageModel
from onnxq.verification.origins import Range

_DEFAULT_PERCENTILE: Final = 99.99  # percentile if the plan is unknown
_TOLERANCE: Final = 1e-6  # relative; scales are float32


@dataclass(frozen=True, slots=True, kw_only=True)
class AmaxRow:
    """One amax of a tensor: the one chosen for a model, or the one of a method.

    `how` says how a chosen one was computed, `local` is the measured SQNR of the pair alone, in dB.
    `effect` is None without a histogram.
    """

    kind: str
    title: str
    amax: float | None
    effect: summary.AmaxEffect | None
    chosen: bool = False
    how: str = ""
    local: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorCard:
    """One tensor; `chart` is SVG, or '' if there is none, and `facts` then say why."""

    tensor: str
    number: int
    facts: str
    chart: str
    rows: tuple[AmaxRow, ...]
    rules: tuple[str, ...]

    @property
    def worst(self) -> float | None:
        """The lowest measured SQNR of the pair alone, else the lowest of the chosen amaxes."""
        measured = [c.local for c in self.rows if c.local is not None]
        expected = [c.effect.sqnr_db for c in self.rows if c.chosen and c.effect]
        return min(measured or [e for e in expected if e is not None], default=None)


def cards(models: Sequence[PageModel]) -> tuple[TensorCard, ...]:
    """Every tensor that a model quantizes at run time, in node order."""
    names = dict.fromkeys(r.tensor for model in models for r in model.origin.ranges)
    return tuple(_card(name, number, models) for number, name in enumerate(names, start=1))


def _card(tensor: str, number: int, models: Sequence[PageModel]) -> TensorCard:
    calibration = _calibration(tensor, models)
    statistics = calibration.tensors[tensor] if calibration is not None else None
    histogram = statistics.histogram if statistics is not None and statistics.range.amax else None
    methods = (
        summary.amaxes(statistics, _percentile(tensor, models)) if statistics is not None else {}
    )
    several = len(models) > 1
    rows = [
        _chosen(model, activation, methods, histogram, several=several)
        for model in models
        for activation in model.origin.ranges
        if activation.tensor == tensor
    ]
    rows += [
        AmaxRow(
            kind=method,
            title=_title(method, tensor, models),
            amax=amax,
            effect=_effect(histogram, amax),
        )
        for method, amax in methods.items()
    ]
    marks = [charts.Mark(c.amax, c.kind) for c in rows if c.amax and not c.chosen]
    marks += [charts.Mark(c.amax, c.kind) for c in rows if c.amax and c.chosen]
    return TensorCard(
        tensor=tensor,
        number=number,
        facts=_facts(statistics),
        chart=charts.histogram(histogram, marks) if histogram is not None else "",
        rows=tuple(rows),
        rules=tuple(dict.fromkeys(_rules(tensor, models))),
    )


def _calibration(tensor: str, models: Sequence[PageModel]) -> Statistics | None:
    calibrations = (s.origin.calibration for s in models)
    return next((c for c in calibrations if c is not None and tensor in c.tensors), None)


def _pair(tensor: str, model: PageModel) -> Pair | None:
    pairs = model.origin.plan.pairs if model.origin.plan is not None else ()
    return next((p for p in pairs if p.tensor == tensor and p.kind == "activation"), None)


def _percentile(tensor: str, models: Sequence[PageModel]) -> float:
    pairs = (_pair(tensor, model) for model in models)
    return next((p.descriptor.percentile for p in pairs if p is not None), _DEFAULT_PERCENTILE)


def _title(method: str, tensor: str, models: Sequence[PageModel]) -> str:
    return f"{method} {_percentile(tensor, models):g}" if method == "percentile" else method


def _chosen(
    model: PageModel,
    activation: Range,
    methods: dict[str, float],
    histogram: BitHistogram | None,
    *,
    several: bool,
) -> AmaxRow:
    local, accumulated = _measured(activation, model)
    amax = next((methods[m] for m in _same_amax(activation.amax, methods)), activation.amax)
    return AmaxRow(
        kind=model.kind,
        title=model.name if several else "chosen",
        amax=amax,
        chosen=True,
        how=", ".join(
            filter(None, (_how(model, activation, methods), _measured_text(local, accumulated)))
        ),
        local=local,
        effect=None if amax is None else _effect(histogram, amax),
    )


def _how(model: PageModel, activation: Range, methods: dict[str, float]) -> str:
    """How a chosen amax was computed, as far as that is known."""
    if activation.amax is None:
        return f"its scale is not one known number ({activation.dtype})"
    pair = _pair(activation.tensor, model)
    methods_with_amax = _same_amax(activation.amax, methods)
    if pair is None:
        return (
            f"the same as {' and '.join(methods_with_amax)}"
            if methods_with_amax
            else "no method gives it for this tensor alone"
        )
    shared = _shared(pair, activation.amax, model)
    how = f"by {pair.descriptor.range_from}"
    return f"{how}, one scale with {counted(shared, 'other tensor')}" if shared else how


def _same_amax(amax: float | None, methods: dict[str, float]) -> list[str]:
    """The methods that give an amax, up to the rounding of its scale to float32."""
    if amax is None:
        return []
    return [m for m, other in methods.items() if math.isclose(amax, other, rel_tol=_TOLERANCE)]


def _shared(pair: Pair, amax: float, model: PageModel) -> int:
    """How many other tensors of the share group have the scale: those of other ranges left it."""
    pairs = model.origin.plan.pairs if model.origin.plan is not None else ()
    if pair.group is None:
        return 0
    amaxes = {r.tensor: r.amax for r in model.origin.ranges if r.amax is not None}
    others = {p.tensor for p in pairs if p.group == pair.group and p.tensor != pair.tensor}
    return sum(math.isclose(amaxes.get(t, 0), amax, rel_tol=_TOLERANCE) for t in others)


def _effect(histogram: BitHistogram | None, amax: float) -> summary.AmaxEffect | None:
    return None if histogram is None else summary.effect(histogram, amax)


def _facts(statistics: TensorStatistics | None) -> str:
    if statistics is None:
        return "no histogram: the calibration is not known, or did not observe this tensor"
    values = statistics.range
    if not values.count:
        return "no histogram: its amax was imported"
    facts = [f"{values.count:,} values in {counted(statistics.samples, 'sample')}"]
    if (zeros := statistics.zeros) is not None and zeros >= 0.0005:
        facts.append(f"{zeros:.1%} zeros")
    if values.finite:
        facts.append(f"{values.minimum:.4g} to {values.maximum:.4g}")
    facts += [f"{n:,} {what}" for n, what in ((values.nan, "NaN"), (values.inf, "Inf")) if n]
    if statistics.histogram is None:
        facts.append("no histogram: calibrator max keeps only ranges")
    elif not values.amax:
        facts.append("no histogram: nothing but zeros")
    return ", ".join(facts)


def _measured(activation: Range, model: PageModel) -> tuple[float | None, float | None]:
    numeric = model.report.numeric
    pairs = numeric.tensors if numeric is not None else ()
    return sqnr(next((t for t in pairs if t.kind == "pair" and t.node == activation.node), None))


def _measured_text(local: float | None, accumulated: float | None) -> str:
    if accumulated is None:
        return ""
    alone = "" if local is None else f"{local:.1f} dB alone, "
    return f"{alone}{accumulated:.1f} dB so far"


def _rules(tensor: str, models: Sequence[PageModel]) -> Iterator[str]:
    for model in models:
        for decision in model.origin.plan.decisions if model.origin.plan else ():
            if decision.tensor == tensor:
                yield decision.because.rule
