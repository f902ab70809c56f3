"""OQ610: every zero point is there, all zeros, and as many as there are scales."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from onnx import TensorProto

from onnxq.linting.edit import Edit, Repair
from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.ranges import make_symmetric, quantized_tensors
from onnxq.linting.registry import repair, rule
from onnxq.model.graph import Node

_ZEROS: Final = "give it an int8 zero point of zeros, as many as it has scales"
_NOT_ZERO: Final = "has a zero point that is not 0"
_SYMMETRIC: Final = (
    "quantize symmetrically (in onnxruntime's quantizer: ActivationSymmetric, WeightSymmetric)"
)


@rule("OQ610")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find zero points that TensorRT rejects, or reads otherwise than ONNX."""
    checked: set[tuple[str, str]] = set()
    for node in model.pair_nodes:
        tensor = model.zero_point(node)
        place = (tensor, node.inputs[1])  # a zero point fits one scale and not another
        fault = _fault(model, node, tensor) if place not in checked else None
        checked |= {place} if tensor else set()
        if fault:
            effect, text = fault
            fix = _SYMMETRIC if text == _NOT_ZERO else _ZEROS
            yield finding(
                "OQ610", effect, f"{node.op} '{node.name}' {text}", fix=fix, node=node.name
            )


def _fault(model: QdqModel, node: Node, tensor: str) -> tuple[Effect, str] | None:
    if not tensor:
        # A DequantizeLinear takes its type from its data; only here does uint8 become the type.
        untyped = node.op == "QuantizeLinear" and not node.attributes.get("output_dtype")
        text = "has no zero point: ONNX reads that as uint8, TensorRT as int8"
        return (Effect.DIFFERENT, text) if untyped else None
    if model.graph.type(tensor).dtype == TensorProto.INT32:
        return None  # a quantized bias, which has a rule of its own
    value = model.value(tensor)
    if value is None:
        text = "has a zero point computed at run time"
        return None if model.is_constant(tensor) else (Effect.REJECTED, text)
    if np.any(value.astype(np.float64) != 0):
        return Effect.REJECTED, _NOT_ZERO
    scale = model.value(node.inputs[1])
    if scale is not None and scale.size != value.size:
        return Effect.REJECTED, f"has {scale.size} scales and {value.size} zero points"
    return None


@repair("OQ610")
def repair_missing(model: QdqModel, edit: Edit) -> Iterator[Repair]:
    """Write the int8 zero point that TensorRT assumes, or as many zero points as scales."""
    for tensor in quantized_tensors(model):
        bare = tensor.quantizer is not None and not model.zero_point(tensor.quantizer)
        untyped = bare and model.quantized_type(tensor.nodes[0]) == TensorProto.UNDEFINED
        too_few = tensor.zero_point.size != tensor.scale.size and not np.any(tensor.zero_point)
        if untyped or (too_few and not bare):
            dtype = np.dtype(np.int8) if untyped else tensor.zero_point.dtype
            zeros = np.zeros(tensor.scale.shape, dtype)
            edit.parameters(tensor.names, tensor.scale, zeros, tensor.axis)
            node = tensor.nodes[0]
            text = f"{node.op} '{node.name}' has {dtype} zero points of 0"
            yield Repair(code="OQ610", node=node.name, text=text, exact=not untyped)


@repair("OQ610")
def repair_asymmetric(model: QdqModel, edit: Edit) -> Iterator[Repair]:
    """Turn a range with a zero point into one around 0."""
    for tensor in quantized_tensors(model):
        if np.any(tensor.zero_point) and (done := make_symmetric(model, edit, tensor, "OQ610")):
            yield done
