"""Numeric: how quantization changes the outputs and every tensor, measured in onnxruntime."""

from onnxq.verification.numeric.accuracy import Accuracy
from onnxq.verification.numeric.compare import Progress, compare, compare_all
from onnxq.verification.numeric.comparison import Comparison
from onnxq.verification.numeric.kinds import TYPICAL, OutputKind
from onnxq.verification.numeric.qdq_run import require_same_ports as require_same_ports
from onnxq.verification.numeric.report import NumericReport
from onnxq.verification.numeric.rows import SortedRows
from onnxq.verification.numeric.tensors import LOW_SQNR_DB, TensorComparison

__all__ = [
    "LOW_SQNR_DB",
    "TYPICAL",
    "Accuracy",
    "Comparison",
    "NumericReport",
    "OutputKind",
    "Progress",
    "SortedRows",
    "TensorComparison",
    "compare",
    "compare_all",
]
