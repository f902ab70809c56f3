"""Numeric: how quantization changes the outputs and every tensor, measured in onnxruntime."""

from onnxq.verification.numeric.accuracy import Accuracy
from onnxq.verification.numeric.compare import NumericReport, Progress, compare, compare_all
from onnxq.verification.numeric.compare import require_same_ports as require_same_ports
from onnxq.verification.numeric.comparison import Comparison
from onnxq.verification.numeric.tensors import LOW_SQNR_DB, TensorComparison

__all__ = [
    "LOW_SQNR_DB",
    "Accuracy",
    "Comparison",
    "NumericReport",
    "Progress",
    "TensorComparison",
    "compare",
    "compare_all",
]
