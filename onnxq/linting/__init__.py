"""Lint: checks without any runtime that TensorRT compiles a Q/DQ model as its file says.

An error: TensorRT rejects the model, silently runs an op in float, or computes other values than
the ONNX file says. A warning costs speed or accuracy. Information is about differences of
TensorRT-RTX and TensorRT.
"""

from __future__ import annotations

import onnx

from onnxq.linting import rules as rules
from onnxq.linting.edit import Repair
from onnxq.linting.finding import Effect, Finding
from onnxq.linting.operands import why_not_int8
from onnxq.linting.predict import Expected, Outlook, Prediction, predict, predict_op
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import RULES, findings
from onnxq.linting.repair import repaired

__all__ = [
    "RULES",
    "Effect",
    "Expected",
    "Finding",
    "Outlook",
    "Prediction",
    "QdqModel",
    "Repair",
    "lint",
    "predict",
    "predict_op",
    "repaired",
    "why_not_int8",
]


def lint(model: onnx.ModelProto | QdqModel) -> tuple[Finding, ...]:
    """Check a Q/DQ model against the contract of TensorRT, in the order of the codes.

    Works on any ONNX model, also on one without Q/DQ, and does not change it.
    """
    return tuple(findings(model if isinstance(model, QdqModel) else QdqModel(model)))
