"""Prediction of the engine that TensorRT builds of a Q/DQ model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import onnx
from onnx import TensorProto

from onnxq.linting.cut_products import cut_in_float
from onnxq.linting.finding import Finding
from onnxq.linting.operands import operand_types, why_not_int8, wide_filter
from onnxq.linting.qdq import QdqModel, is_blocked
from onnxq.linting.registry import findings
from onnxq.model.graph import Node
from onnxq.model.ops import traits
from onnxq.model.products import kept_float

Expected = Literal["int8", "fp8", "int4", "float"]
_FP8: Final = TensorProto.FLOAT8E4M3FN
_INT4: Final = TensorProto.INT4


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The predicted precision of one weighted op; `reason` says why it is float, else ''.

    'int4' computes in float too; its kernel reads the weights as INT4.
    """

    node: str
    op: str
    precision: Expected
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Every weighted op in node order, and the findings for which TensorRT builds no engine."""

    stops: tuple[Finding, ...]
    ops: tuple[Prediction, ...]

    @property
    def builds(self) -> bool:
        """True when TensorRT builds the model, as far as lint can tell."""
        return not self.stops


def predict(model: onnx.ModelProto | QdqModel) -> Outlook:
    """Predict what TensorRT-RTX builds of a model, as far as the rules of lint cover it."""
    view = model if isinstance(model, QdqModel) else QdqModel(model)
    stops = tuple(finding for finding in findings(view) if finding.effect.stops_build)
    return Outlook(stops=stops, ops=tuple(predict_op(view, node) for node in view.product_nodes))


def predict_op(model: QdqModel, node: Node) -> Prediction:
    """Predict how one weighted op will be computed."""
    reason = why_not_int8(model, node) if traits(node).weighted else ""
    reason = reason or kept_float(node) or _cut(model, node)
    precision: Expected = "float" if reason else "int8"
    types = set(operand_types(model, node).values()) if traits(node).weighted else {0}
    if not reason and types == {_FP8}:
        precision = "fp8"
    if types == {0, _INT4} and _has_blocks(model, node):
        precision = "int4"
    if precision == "fp8" and (taps := wide_filter(model, node)):
        precision, reason = "float", f"its filters have {taps} taps, more than 32"
    return Prediction(node=node.name, op=node.op, precision=precision, reason=reason)


def _cut(model: QdqModel, node: Node) -> str:
    cut = cut_in_float(model, node)
    return "" if cut is None else f"its result '{cut.tensor}' has pairs only behind its cut"


def _has_blocks(model: QdqModel, node: Node) -> bool:
    """True for a matrix product whose right side is a weight in blocks."""
    weight = model.weight_dequantizer(node, 1) if traits(node).reduced else None
    return weight is not None and is_blocked(weight[0])
