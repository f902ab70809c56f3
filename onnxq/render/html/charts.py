"""The charts of the report: histograms, SQNR along the network, MACs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np

from onnxq.calibration import summary
from onnxq.calibration.histogram import BitHistogram
from onnxq.render.html.vega import NAME, OWN_COLOR, compiled, field, layer, svg
from onnxq.verification import LOW_SQNR_DB

_COLUMNS: Final = 64  # bars of a histogram
_PALETTE: Final = 6  # colours of models in the style sheet


class Mark(NamedTuple):
    """An amax as a line in a histogram; `kind` is a method, or model0, model1, .. if chosen."""

    amax: float
    kind: str


class Point(NamedTuple):
    """A pair or op along the network, with figures in dB; None if unknown."""

    position: int
    name: str
    accumulated: float | None
    local: float | None


class Bar(NamedTuple):
    """The multiply-accumulates of a weighted op, and the data type that it multiplies."""

    name: str
    macs: int
    dtype: str


class Time(NamedTuple):
    """The least time of a step of an engine, with a CSS colour."""

    name: str
    microseconds: float
    color: str


def color(kind: str) -> str:
    """The CSS colour of a method, a data type or a model."""
    if kind.startswith("model"):
        return f"var(--model{int(kind.removeprefix('model')) % _PALETTE})"
    return f"var(--{kind})"


def histogram(counts: BitHistogram, marks: Sequence[Mark]) -> str:
    """Histogram of the magnitudes, on a logarithmic axis, with amaxes as lines."""
    low, high = summary.limits(counts)
    high = max([high, *(m.amax for m in marks)])
    edges = np.geomspace(low, high, _COLUMNS + 1)
    shares = summary.log_columns(counts, edges) / counts.range.finite
    bars = [
        {"x": _short(x), "y": _short(y)}
        for x, y in zip(edges, (*shares, 0.0), strict=True)  # the last step ends the last bar
    ]
    chosen = [m for m in marks if m.kind.startswith("model")]
    drawn = [
        {"x": m.amax, "color": color(m.kind), "chosen": m in chosen, "width": _width(m, chosen)}
        for m in marks
        if m.amax >= low
    ]
    return svg(_compiled_histogram(), {"bars": bars, "marks": drawn}, _ticks(low, high))


def along(points: Mapping[str, Sequence[Point]]) -> str:
    """SQNR along the network: accumulated as a line, local as dots, of each model by its kind."""
    lines = [
        {"x": p.position, "y": p.accumulated, "name": p.name, "color": color(kind)}
        for kind, of_model in points.items()
        for p in of_model
        if _drawable(p.accumulated)
    ]
    dots = [
        {"x": p.position, "y": p.local, "name": p.name, "color": color(kind)}
        for kind, of_model in points.items()
        for p in of_model
        if _drawable(p.local)
    ]
    return svg(_compiled_along(), {"lines": lines, "dots": dots, "bad": [{"y": LOW_SQNR_DB}]})


def macs(bars: Iterable[Bar]) -> str:
    """Multiply-accumulates of every weighted op in node order, coloured by data type."""
    rows = [
        {
            "x": number,
            "x2": number + 0.85,
            "y": bar.macs,
            "name": f"{bar.name}: {bar.dtype}",
            "color": color(bar.dtype),
        }
        for number, bar in enumerate(bars, start=1)
    ]
    return svg(_compiled_bars("weighted ops in node order", "MACs"), {"bars": rows})


def times(bars: Iterable[Time]) -> str:
    """The least time of every step of an engine, in its order."""
    rows = [
        {
            "x": number,
            "x2": number + 0.85,
            "y": bar.microseconds,
            "name": f"{bar.name}, {bar.microseconds:.3g} us",
            "color": bar.color,
        }
        for number, bar in enumerate(bars, start=1)
    ]
    return svg(_compiled_bars("steps in the order of the engine", "us"), {"bars": rows})


def _width(mark: Mark, chosen: Sequence[Mark]) -> float:
    """Line width; later models with the same amax are thinner, so that all are visible."""
    return 2.0 * (len(chosen) - chosen.index(mark)) if mark in chosen else 1.5


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _drawable(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _ticks(low: float, high: float) -> list[float]:
    """Powers of ten; if these are few, 1, 2 and 5 times each."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1,) if len(exponents) > 3 else (1, 2, 5)
    candidates = (float(f"{step}e{exponent}") for exponent in exponents for step in steps)
    return [tick for tick in candidates if low <= tick <= high]


@cache
def _compiled_histogram() -> Any:
    x = field("x", scale={"type": "log", "nice": False}, axis={"grid": False, "format": "~g"})
    y = field("y", axis={"grid": False, "format": ".1~%", "tickCount": 3, "domain": False})
    width = {"field": "width", "type": "quantitative", "scale": None}
    dash = {"condition": {"test": "datum.chosen", "value": []}, "value": [4, 3]}
    steps = {"type": "area", "interpolate": "step-after", "color": "var(--bar)"}
    rule = {"type": "rule"}
    return compiled(
        295,
        100,
        ("bars", "marks"),
        [
            layer("bars", steps, x=x, y=y),
            layer("marks", rule, x=x, color=OWN_COLOR, strokeWidth=width, strokeDash=dash),
        ],
    )


@cache
def _compiled_along() -> Any:
    x = field("x", title="nodes of the float model", axis={"grid": False}, scale={"nice": False})
    y = field("y", title="SQNR, dB", scale={"zero": False})
    return compiled(
        900,
        240,
        ("lines", "dots", "bad"),
        [
            layer("bad", {"type": "rule", "strokeDash": [5, 4], "color": "var(--bad)"}, y=y),
            layer("lines", {"type": "line", "strokeWidth": 2}, x=x, y=y, color=OWN_COLOR),
            layer("lines", {"type": "point", "filled": True, "size": 14, "aria": True},
                   x=x, y=y, color=OWN_COLOR, description=NAME),
            layer("dots", {"type": "point", "size": 22, "strokeWidth": 1.2, "aria": True},
                   x=x, y=y, color=OWN_COLOR, description=NAME),
        ],
    )  # fmt: skip


@cache
def _compiled_bars(x_title: str, y_title: str) -> Any:
    x = field("x", title=x_title, axis={"grid": False, "tickMinStep": 1},
               scale={"nice": False, "zero": False})  # fmt: skip
    y = field("y", title=y_title, axis={"format": "~s", "tickCount": 4}, scale={"zero": True})
    bars = layer("bars", {"type": "rect", "aria": True}, x=x, x2={"field": "x2"},
                  y=y, y2={"datum": 0}, color=OWN_COLOR, description=NAME)  # fmt: skip
    return compiled(900, 140, ("bars",), [bars])
