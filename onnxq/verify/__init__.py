"""Three independent answers on a Q/DQ model: lint, numeric and compiled."""

from onnxq.lint import lint
from onnxq.verify.compiled import CompiledOp, CompiledReport
from onnxq.verify.conversions import Conversions
from onnxq.verify.data import DataUse, Unused, find_calibration
from onnxq.verify.engines import EngineRun
from onnxq.verify.numeric import (
    BAD_DB,
    Accuracy,
    Comparison,
    NumericReport,
    TensorComparison,
    compare,
)
from onnxq.verify.profiles import Profile
from onnxq.verify.report import ModelReport, VerifyReport
from onnxq.verify.tensorrt import CompileOptions, available, compile_report
from onnxq.verify.verifying import Backend, verify

__all__ = [
    "BAD_DB",
    "Accuracy",
    "Backend",
    "Comparison",
    "CompileOptions",
    "CompiledOp",
    "CompiledReport",
    "Conversions",
    "DataUse",
    "EngineRun",
    "ModelReport",
    "NumericReport",
    "Profile",
    "TensorComparison",
    "Unused",
    "VerifyReport",
    "available",
    "compare",
    "compile_report",
    "find_calibration",
    "lint",
    "verify",
]
