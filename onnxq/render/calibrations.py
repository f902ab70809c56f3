"""Calibrations as text: a table of tensors, and the histogram of one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from rich.console import Console
from rich.text import Text

from onnxq.calibration import summary
from onnxq.calibration.histogram import BitHistogram, ValueRange
from onnxq.calibration.methods import FloatArray
from onnxq.calibration.statistics import Statistics, TensorStatistics
from onnxq.diagnostics import counted
from onnxq.render.tables import Cell, table
from onnxq.render.text import one_line

_HEIGHT: Final = 9
_MARGIN: Final = 7  # columns left of the picture
_EMPTY_LABEL: Final = " " * (_MARGIN - 1)
_COLORS: Final = {
    "max": "red",
    "percentile": "green",
    "mse": "blue",
    "entropy": "magenta",
    "adaptive": "cyan",
}
_UNICODE: Final = {"bars": " ▁▂▃▄▅▆▇█", "axis": "│└─┬", "mark": "▲", "line": "┊"}
_ASCII: Final = {"bars": " ...:::##", "axis": "|+-+", "mark": "^", "line": ":"}


def calibration(console: Console, name: str, statistics: Statistics) -> None:
    """Print the data and the model of a calibration, in two lines."""
    imported = statistics.is_imported
    how = "imported from a TensorRT cache" if imported else f"calibrator {statistics.calibrator}"
    counts = counted(len(statistics.tensors), "tensor")
    if not imported:
        values = short_count(statistics.values)
        counts += f", {counted(statistics.samples, 'sample')}, {values} values"
    data = f", {statistics.data} data" if statistics.data else ""
    console.print(f"{name}: {how}, {counts}{data}")
    shapes = (
        f", {one_line(name)} {'x'.join(map(str, shape))}"
        for name, shape in statistics.input_shapes.items()
    )
    model = statistics.model_path or "without a file"
    console.print(f"model {one_line(str(model))}{''.join(shapes)}")


def gathered(console: Console, statistics: Statistics) -> None:
    """Print the numbers of tensors, samples and values, in one line."""
    name = "statistics" if statistics.path is None else statistics.path
    console.print(
        f"{name}: {counted(len(statistics.tensors), 'tensor')}, "
        f"{counted(statistics.samples, 'sample')}, {_values_text(statistics.values)}"
    )


def _values_text(count: int) -> str:
    return f"{count / 1e6:,.0f} million values" if count >= 1e6 else f"{count:,} values"


def calibration_tensors(
    console: Console,
    shown: Sequence[str],
    statistics: Statistics,
    amaxes: Mapping[str, Mapping[str, float]],
    percentile: str,
) -> None:
    """Print a line for each tensor; long names are folded only in a terminal.

    `percentile` is the header of the column for that method.
    """
    methods = list(dict.fromkeys(m for name in shown for m in amaxes[name] if m != "max"))
    figures = ["values", "min", "max", *methods, "zeros"]
    if methods == ["cache"]:
        figures = ["cache"]
    rows: list[tuple[Cell, ...]] = []
    for name in shown:
        observed = statistics.tensors[name]
        label = Text(one_line(name)).append(_not_finite(observed.range), "red")
        rows.append((label, *_row(observed, amaxes[name], figures)))
    columns = ("tensor", *(percentile if f == "percentile" else f for f in figures))
    table(console, columns, rows, drop=("entropy", "mse", "zeros", "values", "adaptive", "min"))


def short_count(count: float) -> str:
    """A count in at most four characters, such as 174M."""
    units = iter(("", "k", "M", "G", "T", "P"))
    unit = next(units)
    while count >= 999.5:
        count, unit = count / 1000, next(units)
    return f"{count:.{1 if unit and count < 9.95 else 0}f}{unit}"


def _row(
    tensor: TensorStatistics, amaxes: Mapping[str, float], figures: Sequence[str]
) -> list[str]:
    values, zeros = tensor.range, tensor.zeros
    texts = {
        "values": short_count(values.count),
        "min": _figure(values.minimum if values.finite else None),
        "max": _figure(values.maximum if values.finite else None),
        "zeros": "-" if zeros is None else f"{zeros:.0%}",
        **{
            m: _figure(amaxes.get(m)) for m in figures if m not in ("values", "min", "max", "zeros")
        },
    }
    return [texts[f] for f in figures]


def _not_finite(values: ValueRange) -> str:
    counts = (f"{n:,} {what}" for n, what in ((values.nan, "NaN"), (values.inf, "Inf")) if n)
    text = ", ".join(counts)
    return f"  {text}" if text else ""


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:#.3g}".rstrip(".")


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def calibration_tensor(
    console: Console, name: str, tensor: TensorStatistics, amaxes: Mapping[str, float], label: str
) -> None:
    """Print the histogram of a tensor, and the amax and its effect for each method.

    `label` names the percentile method with its parameter.
    """
    values = tensor.range
    console.print(Text(one_line(name), "bold"))
    if "cache" in amaxes:
        console.print(f"amax {_figure(amaxes['cache'])}, imported and final\n")
        return
    zeros = tensor.zeros
    facts = [f"{values.count:,} values in {counted(tensor.samples, 'sample')}"]
    if zeros is not None:
        facts.append(f"{zeros:.1%} zeros")
    if values.finite:
        facts.append(f"min {values.minimum:.4g}, max {values.maximum:.4g}")
    console.print(Text(", ".join(facts)).append(_not_finite(values).replace("  ", ", ", 1), "red"))
    if tensor.histogram is None:
        console.print("only its range was gathered: calibrator max\n")
    elif not values.amax:
        what = "nothing but zeros" if values.finite else "no finite value was seen"
        console.print(f"{what}: its scale would be 1\n")
    else:
        _picture(console, tensor.histogram, amaxes)
        _methods(console, tensor.histogram, amaxes, label)


def _picture(console: Console, histogram: BitHistogram, amaxes: Mapping[str, float]) -> None:
    signs = _ASCII if console.options.ascii_only else _UNICODE
    width = max(12, min(console.width, 100) - _MARGIN - 2)
    low, high = summary.limits(histogram)
    edges = np.geomspace(low, high, width + 1)
    counts = summary.log_columns(histogram, edges)
    outliers = summary.outliers(histogram)
    at = {m: _column(edges, a) for m, a in amaxes.items() if low <= a}
    tall = 8 * _HEIGHT * counts / counts.max()
    eighths = np.where(counts > 0.5, np.maximum(tall, 1), 0).round().astype(int)
    console.print()
    for row in range(_HEIGHT - 1, -1, -1):
        label = f"{counts.max() / histogram.range.finite:.1%}" if row == _HEIGHT - 1 else ""
        line = Text(f"{label:>{_MARGIN - 1}}{signs['axis'][0]}")
        for column, eighth in enumerate(eighths):
            beyond = outliers is not None and edges[column] >= outliers.begin
            line.append(*_cell(eighth - 8 * row, column, at, signs, beyond=beyond))
        console.print(line)
    _axis(console, edges, signs["axis"])
    for column in sorted(set(at.values())):
        _mark(console, [m for m, c in at.items() if c == column], column, width, signs["mark"])
    console.print()
    if outliers is not None:
        share = outliers.count / histogram.range.finite
        reach = histogram.range.amax / outliers.begin
        values = "1 value" if outliers.count == 1 else f"{outliers.count:,} values"
        text = f"outliers begin at {outliers.begin:.4g}: {values}, {_percent(share)}, "
        console.print(Text(text + f"up to {reach:.3g} times as large", "yellow"))


def _cell(
    eighths: int, column: int, at: Mapping[str, int], signs: Mapping[str, str], *, beyond: bool
) -> tuple[str, str]:
    """One character of the picture and its style."""
    if eighths > 0:
        return signs["bars"][min(eighths, 8)], "yellow" if beyond else "cyan"
    marked = [m for m, c in at.items() if c == column]
    return (signs["line"], _COLORS[marked[0]]) if marked else (" ", "")


def _column(edges: FloatArray, magnitude: float) -> int:
    return min(int(np.searchsorted(edges, magnitude, side="right")) - 1, len(edges) - 2)


def _axis(console: Console, edges: FloatArray, signs: str) -> None:
    """Print the axis, with ticks at powers of ten, or at 1, 2 and 5 of each where there are few."""
    exponents = range(math.floor(math.log10(edges[0])), math.ceil(math.log10(edges[-1])) + 1)
    steps = (1,) if len(exponents) > 3 else (1, 2, 5)
    ticks = [n * 10.0**e for e in exponents for n in steps]
    line, labels = [signs[2]] * (len(edges) - 1), ""
    for tick in ticks:
        if edges[0] <= tick <= edges[-1]:
            column, text = _column(edges, tick), f"{tick:g}"
            line[column] = signs[3]
            if column >= len(labels) + bool(labels) and column + len(text) <= len(line):
                labels = labels.ljust(column) + text
    console.print(Text(f"{_EMPTY_LABEL}{signs[1]}{''.join(line)}"))
    console.print(Text(f"{' ' * _MARGIN}{labels}"))


def _mark(console: Console, methods: Sequence[str], column: int, width: int, sign: str) -> None:
    """Print a mark below a column, with its methods on the side that has room."""
    names = Text(", ").join(Text(method, _COLORS[method]) for method in methods)
    line = Text(" " * (_MARGIN + column))
    if column + len(names) + 2 <= width:
        console.print(line.append(f"{sign} ").append_text(names))
    else:
        line = Text(" " * (_MARGIN + column - len(names) - 1))
        console.print(line.append_text(names).append(f" {sign}"))


def _methods(
    console: Console, histogram: BitHistogram, amaxes: Mapping[str, float], label: str
) -> None:
    rows = []
    for method, amax in sorted(amaxes.items(), key=lambda item: item[1]):
        effect = summary.effect(histogram, amax)
        sqnr = "-" if effect.sqnr_db is None else f"{effect.sqnr_db:.1f}"
        name = Text(label if method == "percentile" else method, _COLORS[method])
        rows.append((name, f"{amax:.4g}", f"{amax / 127:.4g}", _percent(effect.clipped), sqnr))
    columns = ("method", "amax", "scale", "clipped", "SQNR dB")
    table(console, columns, rows, drop=("scale", "clipped"))
