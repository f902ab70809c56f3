"""OQ616: no int32 tensor is dequantized, as some tools do with a bias."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from onnxq.linting.edit import Edit, Repair
from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import repair, rule
from onnxq.model.graph import Node


@rule("OQ616")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find DequantizeLinear nodes that read int32."""
    for node in model.pair_nodes:
        int32 = model.graph.type(node.inputs[0]).dtype == TensorProto.INT32
        if node.op == "DequantizeLinear" and int32:
            yield finding(
                "OQ616",
                Effect.REJECTED,
                f"{node.op} '{node.name}' reads the int32 tensor '{node.inputs[0]}', "
                f"which TensorRT rejects",
                fix="leave the bias in float (in onnxruntime's quantizer: QuantizeBias=False)",
                node=node.name,
            )


@repair("OQ616")
def dequantize_bias(model: QdqModel, edit: Edit) -> Iterator[Repair]:
    """Store the bias as the float values that its integers mean."""
    for node in model.pair_nodes:
        bias, scale = model.value(node.inputs[0]), model.value(node.inputs[1])
        if node.op != "DequantizeLinear" or bias is None or scale is None:
            continue
        if bias.dtype == np.int32 and bias.ndim <= 1 and not _shifted(model, node):
            values = _dequantized(bias, scale)
            if values is None:
                continue
            edit.replace(node.outputs[0], edit.constant(node.outputs[0], values))
            text = f"'{node.inputs[0]}' is stored in float"
            yield Repair(code="OQ616", node=node.name, text=text, exact=True)


def _dequantized(bias: NDArray[Any], scale: NDArray[Any]) -> NDArray[Any] | None:
    """The float bias in the type of its scale; None where that cannot hold it.

    The integers alone may exceed float16, so that they are multiplied in float32.
    """
    if scale.size != 1 and scale.shape != bias.shape:
        return None
    each = scale.reshape(()) if scale.size == 1 else scale
    with np.errstate(over="ignore"):
        values = (bias.astype(np.float32) * each.astype(np.float32)).astype(scale.dtype)
    return values if np.all(np.isfinite(values.astype(np.float32))) else None


def _shifted(model: QdqModel, node: Node) -> bool:
    zero_point = model.zero_point(node)
    value = model.value(zero_point) if zero_point else None
    return bool(zero_point) and (value is None or bool(np.any(value)))
