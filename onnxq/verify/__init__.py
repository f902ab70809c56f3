"""Three independent answers on a Q/DQ model: lint, numeric and compiled."""

from onnxq.lint import lint
from onnxq.verify.numeric import NumericReport, OutputComparison, compare
from onnxq.verify.report import Backend, VerifyReport, verify
from onnxq.verify.tensorrt import CompiledOp, CompiledReport, available, compile_report

__all__ = [
    "Backend",
    "CompiledOp",
    "CompiledReport",
    "NumericReport",
    "OutputComparison",
    "VerifyReport",
    "available",
    "compare",
    "compile_report",
    "lint",
    "verify",
]
