"""Verification reports as text."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.text import Text

from onnxq.diagnostics import Severity
from onnxq.render.text import table
from onnxq.verify import CompiledReport, NumericReport, VerifyReport


def verify_report(console: Console, report: VerifyReport) -> None:
    """Print what lint, onnxruntime and the compiler said; diagnostics are printed apart."""
    if made_by := report.made_by:
        recipe = made_by.get("recipe", "").partition(" ")[0]
        console.print(f"made by onnxq {made_by.get('version', '')}, recipe {recipe}")
    count = Counter(d.severity for d in report.lint)
    console.print(f"lint: {count[Severity.ERROR]} errors, {count[Severity.WARNING]} warnings")
    if report.numeric is not None:
        _numeric(console, report.numeric)
    elif report.why_not_numeric is None:
        console.print("numeric: not run, there is no --data")
    if report.compiled is not None:
        _compiled(console, report.compiled)


def _numeric(console: Console, numeric: NumericReport) -> None:
    shown = table("output", "SQNR dB", "worst sample dB", "cosine", "max error", "mean error")
    for o in numeric.outputs:
        figures = (o.sqnr_db, o.worst_sqnr_db)
        rest = (_figure(o.cosine, ".6f"), _figure(o.max_abs_error), _figure(o.mean_abs_error))
        shown.add_row(o.name, *(_figure(f, ".2f") for f in figures), *rest)
        if o.problem:
            shown.add_row(Text(f"  {o.problem}", "yellow"))
    console.print(f"numeric: FP32 against Q/DQ in onnxruntime, {numeric.samples} samples")
    console.print(shown)


def _figure(value: float | None, form: str = ".4g") -> str:
    return "-" if value is None else format(value, form)


def _compiled(console: Console, compiled: CompiledReport) -> None:
    console.print(
        f"compiled: {compiled.backend} {compiled.version}, data types of the built engine"
    )
    shown = table("op", "int8", "of")
    for kind, (int8, total) in compiled.counts.items():
        shown.add_row(kind, str(int8), str(total))
    console.print(shown)
    for op in compiled.ops:
        if op.precision != "int8":
            console.print(
                f"  {op.precision}: {op.op} '{op.node}': {op.reason}",
                soft_wrap=True,
            )
    macs = "not known" if compiled.int8_macs is None else f"{compiled.int8_macs:.1%}"
    console.print(f"MACs in int8: {macs}, engine {compiled.engine_bytes / 1e6:.1f} MB")
