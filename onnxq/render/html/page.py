"""The report as one HTML page that needs nothing else: no network, no script to be read."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from onnxq.diagnostics import BackendMissingError, Diagnostic
from onnxq.render.calibrations import short_count
from onnxq.render.html import charts
from onnxq.render.html.layers import LayerRow, decision_rows, layer_rows, rule_rows, sqnr
from onnxq.render.html.subjects import Subject, asked, subjects, unknown
from onnxq.render.html.tensors import cards
from onnxq.render.reports import conversions, data_use, recipe_of, sizes
from onnxq.render.runs import rows as run_rows
from onnxq.render.side_by_side import figures
from onnxq.render.text import figure, one_line
from onnxq.verification import LOW_SQNR_DB, VerifyReport, targets

_FOLDER: Final = Path(__file__).parent
_PACKAGES: Final = ("jinja2", "vl_convert")
_DTYPES: Final = ("int8", "fp8", "int4", "fp16", "bf16", "fp32", "float", "unknown")


def require() -> None:
    """Raise BackendMissingError (OQ670) where what draws the page is not installed."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise BackendMissingError(
            Diagnostic(
                code="OQ670",
                message=f"--html needs {' and '.join(missing)}, which is not installed",
                fix="pip install 'onnxq[html]'",
            )
        )


def page(report: VerifyReport) -> str:
    """The page of a report (OQ670 where what draws it is not installed).

    Names from models are untrusted text: the template escapes all, and the page's policy runs no
    script but its own.
    """
    require()
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(figure=_figure, name=one_line, count=short_count)
    about = subjects(report)
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    rows, decisions = layer_rows(about), decision_rows(about)
    return environment.get_template("page.html.jinja").render(
        report=report,
        subjects=about,
        several=len(about) > 1,
        style=Markup((_FOLDER / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        facts=tuple(_facts(about)),
        figures=tuple(_figures(about)),
        runs=tuple(run_rows(report)),
        thresholds=tuple(asked(report.thresholds)),
        data=data_use(report.data) if report.data is not None else "",
        unknown=[(subject, tuple(unknown(subject))) for subject in about],
        diagnostics=report.diagnostics,
        layers=rows,
        decisions=decisions,
        rules=rule_rows(decisions),
        cards=cards(about),
        along=_along(about),
        macs=tuple(_macs(about, rows)),
        bars=tuple(_bars(about)),
        bad_db=LOW_SQNR_DB,
        charts=charts,
        Markup=Markup,
    )


def _figure(value: float | None, form: str = ".2f") -> str:
    return figure(value, form)


def _facts(about: Sequence[Subject]) -> Iterator[tuple[str, list[str]]]:
    """Rows of the summary that are texts, a cell for each model."""
    rows = {
        "recipe": [recipe_of(s.report.made_by) for s in about],
        "made by": [_maker(s) for s in about],
        "calibration": [_calibration(s) for s in about],
        "compiled by": [_compiler(s) for s in about],
        "engine": [_engine(s) for s in about],
        "conversions": [
            conversions(s.report.compiled.conversions) if s.report.compiled else "" for s in about
        ],
        "run by": [_runtime(s) for s in about],
    }
    yield from ((title, cells) for title, cells in rows.items() if any(cells))


def _maker(subject: Subject) -> str:
    made_by = subject.report.made_by
    return f"onnxq {made_by.get('version', '')}" if made_by else "not recorded"


def _calibration(subject: Subject) -> str:
    found = subject.origin.calibration
    if found is None:
        return "not known"
    if found.calibrator == "cache":
        return "imported from a TensorRT cache"
    data = f", {found.data} data" if found.data else ""
    return f"{found.samples:,} samples, calibrator {found.calibrator}{data}"


def _compiler(subject: Subject) -> str:
    compiled = subject.report.compiled
    if compiled is None:
        return "not compiled"
    built_for = ", ".join(map(targets.name, compiled.targets))
    return f"{compiled.backend} {compiled.version}{f' for {built_for}' if built_for else ''}"


def _engine(subject: Subject) -> str:
    compiled = subject.report.compiled
    return sizes(compiled) if compiled is not None and compiled.fp32_engine_bytes else ""


def _runtime(subject: Subject) -> str:
    if subject.report.numeric is None:
        return "not compared"
    try:
        return f"onnxruntime {version('onnxruntime')}"
    except PackageNotFoundError:  # as a build of its own under another name
        return "onnxruntime"


def _figures(about: Sequence[Subject]) -> Iterator[tuple[str, list[tuple[str, bool]]]]:
    """Rows of the summary that are figures; the best of a row is marked."""
    for title, cells in figures([s.report for s in about]):
        known = [value for value, _ in cells if value is not None]
        best = max(known) if len(set(known)) > 1 else None
        yield title, [(text, best is not None and value == best) for value, text in cells]


def _along(about: Sequence[Subject]) -> str:
    points = {
        s.kind: [
            charts.Point(t.position, one_line(f"{t.op} {t.node}"), *reversed(sqnr(t)))
            for t in s.report.numeric.tensors
        ]
        for s in about
        if s.report.numeric is not None and s.report.numeric.tensors
    }
    return charts.along(points) if points else ""


def _macs(about: Sequence[Subject], rows: Sequence[LayerRow]) -> Iterator[tuple[Subject, str]]:
    for subject in about:
        bars = [
            charts.Bar(one_line(row.node), row.macs, row.kind)
            for row in rows
            if row.subject is subject and row.macs is not None
        ]
        if bars and subject.report.compiled is not None:
            yield subject, charts.macs(bars)


def _bars(about: Sequence[Subject]) -> Iterator[tuple[Subject, list[dict[str, Any]]]]:
    """Shares of the MACs by data type: where each part of the bar begins, and its width."""
    for subject in about:
        shares = subject.report.compiled.macs if subject.report.compiled else None
        if shares is None:
            continue
        parts, begin = [], 0.0
        for dtype in sorted(shares, key=_DTYPES.index):
            parts.append({"dtype": dtype, "begin": 100 * begin, "width": 100 * shares[dtype]})
            begin += shares[dtype]
        yield subject, parts
