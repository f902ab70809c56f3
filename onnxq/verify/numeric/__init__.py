"""Numeric: what quantization does to the outputs and to every tensor, measured in onnxruntime."""

from onnxq.verify.numeric.accuracy import Accuracy
from onnxq.verify.numeric.compare import NumericReport, Progress, compare, compare_all
from onnxq.verify.numeric.compare import require_same_ports as require_same_ports
from onnxq.verify.numeric.comparison import Comparison
from onnxq.verify.numeric.tensors import BAD_DB, TensorComparison

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
