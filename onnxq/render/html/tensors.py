"""A card for every quantized activation: its histogram, the chosen amax and the other methods'."""

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
from onnxq.render.html.subjects import Subject
from onnxq.verification.origins import Range

_USUAL: Final = 99.99  # percentile, where the plan does not say
_ALIKE: Final = 1e-6  # relative; scales are float32


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One amax of a tensor: chosen by a model, or what a method would have given.

    `how` says where a chosen one comes from, `local` is the measured SQNR of the pair alone, in dB.
    `found` is None without a histogram.
    """

    kind: str
    title: str
    amax: float | None
    found: summary.AmaxEffect | None
    chosen: bool = False
    how: str = ""
    local: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One tensor; `chart` is SVG, '' where `facts` say why there is none."""

    tensor: str
    number: int
    facts: str
    chart: str
    choices: tuple[Choice, ...]
    rules: tuple[str, ...]

    @property
    def worst(self) -> float | None:
        """The lowest local SQNR of the pair in any model, else the lowest of a chosen amax."""
        measured = [c.local for c in self.choices if c.local is not None]
        expected = [c.found.sqnr_db for c in self.choices if c.chosen and c.found]
        return min(measured or [e for e in expected if e is not None], default=None)


def cards(subjects: Sequence[Subject]) -> tuple[Card, ...]:
    """Every tensor that a model quantizes at run time, in node order."""
    names = dict.fromkeys(r.tensor for subject in subjects for r in subject.origin.ranges)
    return tuple(_card(name, number, subjects) for number, name in enumerate(names, start=1))


def _card(tensor: str, number: int, subjects: Sequence[Subject]) -> Card:
    calibration = _calibration(tensor, subjects)
    seen = calibration.tensors[tensor] if calibration is not None else None
    histogram = seen.histogram if seen is not None and seen.range.amax else None
    methods = summary.amaxes(seen, _percentile(tensor, subjects)) if seen is not None else {}
    several = len(subjects) > 1
    choices = [
        _chosen(subject, found, methods, histogram, several=several)
        for subject in subjects
        for found in subject.origin.ranges
        if found.tensor == tensor
    ]
    choices += [
        Choice(
            kind=method,
            title=_title(method, tensor, subjects),
            amax=amax,
            found=_found(histogram, amax),
        )
        for method, amax in methods.items()
    ]
    marks = [charts.Mark(c.amax, c.kind) for c in choices if c.amax and not c.chosen]
    marks += [charts.Mark(c.amax, c.kind) for c in choices if c.amax and c.chosen]
    return Card(
        tensor=tensor,
        number=number,
        facts=_facts(seen),
        chart=charts.histogram(histogram, marks) if histogram is not None else "",
        choices=tuple(choices),
        rules=tuple(dict.fromkeys(_rules(tensor, subjects))),
    )


def _calibration(tensor: str, subjects: Sequence[Subject]) -> Statistics | None:
    known = (s.origin.calibration for s in subjects)
    return next((c for c in known if c is not None and tensor in c.tensors), None)


def _pair(tensor: str, subject: Subject) -> Pair | None:
    pairs = subject.origin.plan.pairs if subject.origin.plan is not None else ()
    return next((p for p in pairs if p.tensor == tensor and p.kind == "activation"), None)


def _percentile(tensor: str, subjects: Sequence[Subject]) -> float:
    pairs = (_pair(tensor, subject) for subject in subjects)
    return next((p.descriptor.percentile for p in pairs if p is not None), _USUAL)


def _title(method: str, tensor: str, subjects: Sequence[Subject]) -> str:
    return f"{method} {_percentile(tensor, subjects):g}" if method == "percentile" else method


def _chosen(
    subject: Subject,
    found: Range,
    methods: dict[str, float],
    histogram: BitHistogram | None,
    *,
    several: bool,
) -> Choice:
    local, accumulated = _measured(found, subject)
    alike = next((methods[m] for m in _alike(found.amax, methods)), found.amax)
    return Choice(
        kind=subject.kind,
        title=subject.name if several else "chosen",
        amax=alike,
        chosen=True,
        how=", ".join(filter(None, (_how(subject, found, methods), _told(local, accumulated)))),
        local=local,
        found=None if alike is None else _found(histogram, alike),
    )


def _how(subject: Subject, found: Range, methods: dict[str, float]) -> str:
    """Where a chosen amax comes from, as far as that is known."""
    if found.amax is None:
        return f"its scale is not one known number ({found.dtype})"
    pair, alike = _pair(found.tensor, subject), _alike(found.amax, methods)
    if pair is None:
        return (
            f"that of {' and '.join(alike)}"
            if alike
            else "none of these methods on this tensor alone"
        )
    shared = _shared(pair, subject)
    told = f"by {pair.descriptor.method}"
    return f"{told}, one scale with {counted(shared, 'other tensor')}" if shared else told


def _alike(amax: float | None, methods: dict[str, float]) -> list[str]:
    """The methods that give an amax, but for the rounding of its scale to float32."""
    if amax is None:
        return []
    return [m for m, other in methods.items() if math.isclose(amax, other, rel_tol=_ALIKE)]


def _shared(pair: Pair, subject: Subject) -> int:
    pairs = subject.origin.plan.pairs if subject.origin.plan is not None else ()
    if pair.group is None:
        return 0
    return sum(p.group == pair.group and p.tensor != pair.tensor for p in pairs)


def _found(histogram: BitHistogram | None, amax: float) -> summary.AmaxEffect | None:
    return None if histogram is None else summary.effect(histogram, amax)


def _facts(seen: TensorStatistics | None) -> str:
    if seen is None:
        return "no histogram: the calibration is not known, or did not observe this tensor"
    values = seen.range
    if not values.count:
        return "no histogram: its amax was imported"
    told = [f"{values.count:,} values in {counted(seen.samples, 'sample')}"]
    if (nothing := seen.zeros) is not None and nothing >= 0.0005:
        told.append(f"{nothing:.1%} zeros")
    if values.finite:
        told.append(f"{values.minimum:.4g} to {values.maximum:.4g}")
    told += [f"{n:,} {what}" for n, what in ((values.nan, "NaN"), (values.inf, "Inf")) if n]
    if seen.histogram is None:
        told.append("no histogram: calibrator max keeps only ranges")
    elif not values.amax:
        told.append("no histogram: nothing but zeros")
    return ", ".join(told)


def _measured(found: Range, subject: Subject) -> tuple[float | None, float | None]:
    numeric = subject.report.numeric
    pairs = numeric.tensors if numeric is not None else ()
    return sqnr(next((t for t in pairs if t.kind == "pair" and t.node == found.node), None))


def _told(local: float | None, accumulated: float | None) -> str:
    if accumulated is None:
        return ""
    alone = "" if local is None else f"{local:.1f} dB alone, "
    return f"{alone}{accumulated:.1f} dB so far"


def _rules(tensor: str, subjects: Sequence[Subject]) -> Iterator[str]:
    for subject in subjects:
        for decision in subject.origin.plan.decisions if subject.origin.plan else ():
            if decision.tensor == tensor:
                yield decision.because.rule
