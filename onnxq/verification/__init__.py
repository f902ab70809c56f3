"""Three independent answers on a Q/DQ model: lint, numeric and compiled."""

from onnxq.kernels.conversions import Conversions
from onnxq.linting import lint
from onnxq.verification.compiled import CompiledOp, CompiledReport
from onnxq.verification.data import DataUse, UnusedSamples, matching_calibration
from onnxq.verification.detections import DetectionReport
from onnxq.verification.engines import EngineRun
from onnxq.verification.numeric import (
    LOW_SQNR_DB,
    TYPICAL,
    Accuracy,
    Comparison,
    NumericReport,
    OutputKind,
    SortedRows,
    TensorComparison,
    compare,
)
from onnxq.verification.profiles import Profile
from onnxq.verification.report import ModelReport, VerifyReport
from onnxq.verification.tensorrt import CompileOptions, available, compile_report
from onnxq.verification.verifying import Backend, verify

__all__ = [
    "LOW_SQNR_DB",
    "TYPICAL",
    "Accuracy",
    "Backend",
    "Comparison",
    "CompileOptions",
    "CompiledOp",
    "CompiledReport",
    "Conversions",
    "DataUse",
    "DetectionReport",
    "EngineRun",
    "ModelReport",
    "NumericReport",
    "OutputKind",
    "Profile",
    "SortedRows",
    "TensorComparison",
    "UnusedSamples",
    "VerifyReport",
    "available",
    "compare",
    "compile_report",
    "lint",
    "matching_calibration",
    "verify",
]
