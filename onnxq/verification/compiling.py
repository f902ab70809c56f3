"""The compiled part of a report; diagnostics of failures say whether the pairs cause them."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

from onnxq.diagnostics import Diagnostic, OnnxqError, warning
from onnxq.verification import tensorrt
from onnxq.verification.compiled import CompiledReport
from onnxq.verification.subjects import FloatSubject, QdqSubject
from onnxq.verification.tensorrt import CompileOptions


class ReportCompiler:
    """Compiles the Q/DQ models of one float model, and the float model to compare or to explain."""

    def __init__(
        self,
        float_model: FloatSubject,
        options: CompileOptions,
        *,
        fp32_engine: bool,
        engine: Path | None,
    ) -> None:
        self._float_model, self._options = float_model, options
        self._fp32_engine, self._engine = fp32_engine, engine

    def report(self, subject: QdqSubject) -> CompiledReport | Diagnostic:
        """The report on how the compiler builds a Q/DQ model, or why there is none."""
        if self._options.compiler == "tensorrt-rtx" and tensorrt.available() is None:
            return warning(
                "OQ601",
                "TensorRT-RTX is not installed, so the model was not compiled",
                fix=tensorrt.INSTALL,
            )
        try:
            report = tensorrt.compile_report(
                subject.path,
                self._options,
                model=subject.model,
                digest=subject.digest,
                engine=self._engine,
            )
        except OnnxqError as failed:
            return self._blamed(failed.diagnostics[0])
        return self._beside_fp32(report) if self._fp32_engine else report

    @cached_property
    def _of_float(self) -> int | Diagnostic:
        """The size of the float model's engine in bytes, or why there is none."""
        try:
            return tensorrt.engine_bytes(self._float_model.path, self._options)
        except OnnxqError as failed:
            return failed.diagnostics[0]

    def _blamed(self, failed: Diagnostic) -> Diagnostic:
        """The failure, with the answer to whether the float model builds."""
        if failed.code not in ("OQ602", "OQ660"):
            return failed
        of_float = self._of_float
        if not isinstance(of_float, Diagnostic):
            return replace(failed, message=f"{failed.message}; the FP32 model builds")
        if of_float.code not in ("OQ602", "OQ660"):
            return failed
        return replace(
            failed,
            message=f"the FP32 model fails as well: {of_float.message}",
            fix="export the float model without what the message names, or give TensorRT a plugin",
        )

    def _beside_fp32(self, report: CompiledReport) -> CompiledReport:
        of_float = self._of_float
        if not isinstance(of_float, Diagnostic):
            return replace(report, fp32_engine_bytes=of_float)
        note = replace(of_float, message=f"the FP32 model: {of_float.message}")
        return replace(report, notes=(*report.notes, note))
