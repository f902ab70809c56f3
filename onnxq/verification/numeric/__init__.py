"""Numeric: what quantization does to the outputs and to every tensor, measured in onnxruntime."""

from onnxq.verification.numeric.accuracy import Accuracy
from onnxq.verification.numeric.compare import NumericReport, Progress, compare, compare_all
from onnxq.verification.numeric.compare import require_same_ports as require_same_ports
from onnxq.verification.numeric.comparison import Comparison
from onnxq.verification.numeric.tensors import BAD_DB, TensorComparison

__all__ = [
    "BAD_DB",
    "Accuracy",
    "Comparison",
    "NumericReport",
    "Progress",
    "TensorComparison",
    "compare",
    "compare_all",
]
