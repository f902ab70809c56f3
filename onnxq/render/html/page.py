"""The report as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from onnxq.render.agreement import detection_lines, row_lines
from onnxq.render.html import charts
from onnxq.render.html.cost_section import color, cost_sections
from onnxq.render.html.layers import LayerRow, decision_rows, layer_rows, rule_rows, sqnr
from onnxq.render.html.page_models import (
    PageModel,
    missing_parts,
    page_models,
    threshold_texts,
)
from onnxq.render.html.picture import picture
from onnxq.render.html.template import rendered, require
from onnxq.render.html.tensors import cards
from onnxq.render.reports import conversions, data_use, recipe_of, sizes
from onnxq.render.runs import rows as run_rows
from onnxq.render.side_by_side import figures
from onnxq.render.text import one_line
from onnxq.render.verdicts import in_a_line
from onnxq.verification import LOW_SQNR_DB, VerifyReport, targets

_DTYPES: Final = ("int8", "fp8", "int4", "fp16", "bf16", "fp32", "float", "unknown")


def page(report: VerifyReport) -> str:
    """The page of a report; OQ670 if Jinja or Vega is not installed."""
    require()
    models = page_models(report)
    rows, decisions, costs = layer_rows(models), decision_rows(models), cost_sections(models)
    return rendered(
        "page.html.jinja",
        scripts=("page.js", "network.js"),
        styles=("page.css", "network.css"),
        report=report,
        models=models,
        several=len(models) > 1,
        facts=tuple(_facts(models)),
        figures=tuple(_figures(models)),
        runs=tuple(run_rows(report)),
        thresholds=tuple(threshold_texts(report.thresholds)),
        data="; ".join(data_use(report)),
        missing=[(model, tuple(missing_parts(model))) for model in models],
        in_a_line=in_a_line,
        row_lines=row_lines,
        detection_lines=detection_lines,
        diagnostics=report.diagnostics,
        layers=rows,
        decisions=decisions,
        rules=rule_rows(decisions),
        cards=cards(models),
        along=_along(models),
        macs=tuple(_macs(models, rows)),
        bars=tuple(_bars(models)),
        costs=costs,
        picture=picture(models, rows, costs),
        cost_color=color,
        bad_db=LOW_SQNR_DB,
        charts=charts,
    )


def _facts(models: Sequence[PageModel]) -> Iterator[tuple[str, list[str]]]:
    """Text rows of the summary, with a cell for each model."""
    rows = {
        "recipe": [recipe_of(s.report.made_by) for s in models],
        "made by": [_maker(s) for s in models],
        "calibration": [_calibration(s) for s in models],
        "compiled by": [_compiler(s) for s in models],
        "engine": [_engine(s) for s in models],
        "conversions": [
            conversions(s.report.compiled.conversions) if s.report.compiled else "" for s in models
        ],
        "run by": [_runtime(s) for s in models],
    }
    yield from ((title, cells) for title, cells in rows.items() if any(cells))


def _maker(model: PageModel) -> str:
    made_by = model.report.made_by
    return f"onnxq {made_by.get('version', '')}" if made_by else "not recorded"


def _calibration(model: PageModel) -> str:
    statistics = model.origin.calibration
    if statistics is None:
        return "not known"
    if statistics.is_imported:
        return "imported from a TensorRT cache"
    data = f", {statistics.data} data" if statistics.data else ""
    return f"{statistics.samples:,} samples, calibrator {statistics.calibrator}{data}"


def _compiler(model: PageModel) -> str:
    compiled = model.report.compiled
    if compiled is None:
        return "not compiled"
    built_for = ", ".join(map(targets.name, compiled.targets))
    return f"{compiled.backend} {compiled.version}{f' for {built_for}' if built_for else ''}"


def _engine(model: PageModel) -> str:
    compiled = model.report.compiled
    return sizes(compiled) if compiled is not None and compiled.fp32_engine_bytes else ""


def _runtime(model: PageModel) -> str:
    if model.report.numeric is None:
        return "not compared"
    try:
        return f"onnxruntime {version('onnxruntime')}"
    except PackageNotFoundError:  # for instance onnxruntime-gpu
        return "onnxruntime"


def _figures(models: Sequence[PageModel]) -> Iterator[tuple[str, list[tuple[str, bool]]]]:
    """Figure rows of the summary; the best of a row is marked."""
    for title, cells in figures([s.report for s in models]):
        values = [value for value, _ in cells if value is not None]
        best = max(values) if len(set(values)) > 1 else None
        yield title, [(text, best is not None and value == best) for value, text in cells]


def _along(models: Sequence[PageModel]) -> str:
    points = {
        s.kind: [
            charts.Point(t.position, one_line(f"{t.op} {t.node}"), *reversed(sqnr(t)))
            for t in s.report.numeric.tensors
        ]
        for s in models
        if s.report.numeric is not None and s.report.numeric.tensors
    }
    return charts.along(points) if points else ""


def _macs(models: Sequence[PageModel], rows: Sequence[LayerRow]) -> Iterator[tuple[PageModel, str]]:
    for model in models:
        bars = [
            charts.Bar(one_line(row.node), row.macs, row.kind)
            for row in rows
            if row.model is model and row.macs is not None
        ]
        if bars and model.report.compiled is not None:
            yield model, charts.macs(bars)


def _bars(models: Sequence[PageModel]) -> Iterator[tuple[PageModel, list[dict[str, Any]]]]:
    """Shares of the MACs by data type: begin and width of each part of the bar, in per cent."""
    for model in models:
        shares = model.report.compiled.macs if model.report.compiled else None
        if shares is None:
            continue
        parts, begin = [], 0.0
        for dtype in sorted(shares, key=_DTYPES.index):
            parts.append({"dtype": dtype, "begin": 100 * begin, "width": 100 * shares[dtype]})
            begin += shares[dtype]
        yield model, parts
