"""Lint: what TensorRT asks of a Q/DQ model, checked without any runtime.

Errors are what TensorRT rejects, silently runs in float, or computes otherwise than the ONNX file
says; warnings cost speed or accuracy; information is where TensorRT-RTX and TensorRT differ.
"""

from __future__ import annotations

import onnx

from onnxq.lint import rules as rules
from onnxq.lint.finding import Effect, Finding
from onnxq.lint.operands import why_not_int8
from onnxq.lint.qdq import QdqModel
from onnxq.lint.registry import RULES

__all__ = ["RULES", "Effect", "Finding", "QdqModel", "lint", "why_not_int8"]


def lint(model: onnx.ModelProto) -> tuple[Finding, ...]:
    """Check a Q/DQ model against the contract of TensorRT, in the order of the codes.

    Works on any ONNX model, also on one without Q/DQ, and does not change it.
    """
    return tuple(findings(QdqModel(model)))


def findings(read: QdqModel) -> list[Finding]:
    """Every finding of every rule in a model that was read already."""
    return [found for code in sorted(RULES) for found in RULES[code].check(read)]
