"""What the page is about: each Q/DQ model with its report, its origin and a verdict."""

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
class Subject:
    """One Q/DQ model; `kind` names its colour, `name` is as short as tells it apart.

    `verdict` is "open" where no threshold was given and nothing else is wrong.
    """

    kind: str
    name: str
    report: ModelReport
    origin: Origin
    verdict: Literal["passed", "failed", "open"]
    findings: tuple[Diagnostic, ...]


def subjects(report: VerifyReport) -> tuple[Subject, ...]:
    """The models of a report, in its order."""
    if report.lineage is None:
        raise ValueError("a report without the models that it is about has no page")
    names = file_names([model.model for model in report.models])
    each = zip(report.models, report.lineage.origins, names, strict=True)
    return tuple(
        _subject(f"model{index}", name, model, origin, report.thresholds)
        for index, (model, origin, name) in enumerate(each)
    )


def _subject(
    kind: str, name: str, model: ModelReport, origin: Origin, least: Thresholds
) -> Subject:
    findings = (*refusals((model,), least), *model.diagnostics)
    failed = has_errors(findings)
    passed: Literal["passed", "open"] = "passed" if tuple(asked(least)) else "open"
    return Subject(
        kind=kind,
        name=name,
        report=model,
        origin=origin,
        verdict="failed" if failed else passed,
        findings=findings,
    )


def asked(least: Thresholds) -> Iterator[str]:
    """Each threshold in words."""
    for what, unit, every, named in (
        ("SQNR", " dB", least.every_sqnr, least.sqnr),
        ("cosine", "", least.every_cosine, least.cosine),
    ):
        if every is not None:
            yield f"{what} of every output at least {every:g}{unit}"
        for name, value in named.items():
            yield f"{what} of {name} at least {value:g}{unit}"
    if least.int8 is not None:
        yield f"MACs in int8 at least {least.int8:.0%}"
    if least.quantized is not None:
        yield f"MACs in int8, fp8 or int4 at least {least.quantized:.0%}"


def unknown(subject: Subject) -> Iterator[str]:
    """What the page would tell of a model and cannot, each with the option that would give it."""
    report, origin = subject.report, subject.origin
    if report.numeric is None:
        why = report.why_not_numeric
        yield f"Error of the outputs: {'there is no --data' if why is None else why.message}."
    elif not report.numeric.tensors:
        yield "SQNR along the network and of each layer: --tensors measures it."
    if report.compiled is None:
        why = report.why_not_compiled
        told = "--backend was onnxruntime" if why is None else f"{why.message}; {why.fix}"
        yield f"What TensorRT makes of it: {told}. Layers show what lint expects of the file."
    elif report.compiled.fp32_engine_bytes is None:
        yield "The size of the FP32 engine: --fp32-engine builds it."
    if origin.why_no_calibration:
        yield f"Histograms: {origin.why_no_calibration}."
    if origin.why_no_plan:
        yield f"Which rule made each decision: {origin.why_no_plan}."
