"""The models of the page: each Q/DQ model with its report, its origin and a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from onnxq.diagnostics import Diagnostic, has_errors
from onnxq.render.side_by_side import file_names
from onnxq.verification import ModelReport, VerifyReport
from onnxq.verification.origins import Origin
from onnxq.verification.thresholds import Thresholds, refusals


@dataclass(frozen=True, slots=True, kw_only=True)
class PageModel:
    """One Q/DQ model; `kind` selects its colour, `name` is a short name that is unique on the page.

    `verdict` is "open" when there are no thresholds and no errors.
    """

    kind: str
    name: str
    report: ModelReport
    origin: Origin
    verdict: Literal["passed", "failed", "open"]
    findings: tuple[Diagnostic, ...]


def page_models(report: VerifyReport) -> tuple[PageModel, ...]:
    """The models of a report, in its order."""
    if report.lineage is None:
        raise ValueError("a report without its models has no page")
    names = file_names([model.model for model in report.models])
    each = zip(report.models, report.lineage.origins, names, strict=True)
    return tuple(
        _page_model(f"model{index}", name, model, origin, report.thresholds)
        for index, (model, origin, name) in enumerate(each)
    )


def _page_model(
    kind: str, name: str, report: ModelReport, origin: Origin, least: Thresholds
) -> PageModel:
    findings = (*refusals((report,), least), *report.diagnostics)
    failed = has_errors(findings)
    passed: Literal["passed", "open"] = "passed" if tuple(threshold_texts(least)) else "open"
    return PageModel(
        kind=kind,
        name=name,
        report=report,
        origin=origin,
        verdict="failed" if failed else passed,
        findings=findings,
    )


def threshold_texts(least: Thresholds) -> Iterator[str]:
    """Each threshold in words."""
    for what, unit, every, named in (
        ("SQNR", " dB", least.every_sqnr, least.sqnr),
        ("cosine", "", least.every_cosine, least.cosine),
    ):
        if every is not None:
            yield f"{what} of every output at least {every:g}{unit}"
        for name, value in named.items():
            yield f"{what} of {name} at least {value:g}{unit}"
    if least.kept is not None:
        yield f"detections kept at least {least.kept:.1%}"
    if least.new is not None:
        yield f"detections new at most {least.new:.1%}"
    if least.cost_ratio is not None:
        yield f"least time at most {least.cost_ratio:g} of the FP16 engine's"
    if least.int8 is not None:
        yield f"MACs in int8 at least {least.int8:.0%}"
    if least.quantized is not None:
        yield f"MACs in int8, fp8 or int4 at least {least.quantized:.0%}"


def missing_parts(model: PageModel) -> Iterator[str]:
    """Parts that the page lacks for a model, each with the option that would add it."""
    report, origin = model.report, model.origin
    if report.numeric is None:
        why = report.why_not_numeric
        yield f"Error of the outputs: {'there is no --data' if why is None else why.message}."
    elif not report.numeric.tensors:
        yield "SQNR along the network and of each layer: --tensors measures it."
    if report.compiled is None:
        why = report.why_not_compiled
        reason = "--backend was onnxruntime" if why is None else f"{why.message}; {why.fix}"
        yield f"Computation in TensorRT: {reason}. The layers show what lint expects."
    elif report.compiled.fp32_engine_bytes is None:
        yield "The size of the FP32 engine: --fp32-engine builds it."
    if report.compiled is not None and report.cost is None:
        why = report.why_no_cost
        reason = "--gpu l4, or another, tells it" if why is None else why.message
        yield f"What the engine costs at least beside FP16: {reason}."
    if origin.why_no_calibration:
        yield f"Histograms: {origin.why_no_calibration}."
    if origin.why_no_plan:
        yield f"Which rule made each decision: {origin.why_no_plan}."
