"""OQ622: tensors are quantized to a type that TensorRT has."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from onnx import TensorProto

from onnxq.formats import type_name
from onnxq.linting.edit import Edit, Repair
from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.operands import READ_AS
from onnxq.linting.qdq import QdqModel
from onnxq.linting.ranges import make_symmetric, quantized_tensors
from onnxq.linting.registry import repair, rule

# An int32 is a quantized bias, which has a rule of its own.
_NOT_FAULTY: Final = {*READ_AS, TensorProto.INT32, TensorProto.UNDEFINED} - {TensorProto.UINT8}


@rule("OQ622")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find quantized types that TensorRT rejects, or takes for int8."""
    for node, _ in model.first_by(model.quantized_side):
        dtype = model.quantized_type(node)
        if dtype in _NOT_FAULTY:
            continue
        unsigned = dtype == TensorProto.UINT8
        does = "which TensorRT takes for int8" if unsigned else "which TensorRT does not have"
        yield finding(
            "OQ622",
            Effect.DIFFERENT if unsigned else Effect.REJECTED,
            f"{node.op} '{node.name}' quantizes '{model.quantized_tensor(node)}' to "
            f"{type_name(dtype)}, {does}",
            fix="quantize it to int8",
            node=node.name,
        )


@repair("OQ622")
def make_int8(model: QdqModel, edit: Edit) -> Iterator[Repair]:
    """Quantize to int8 with a scale for the same range."""
    for tensor in quantized_tensors(model):
        typed = model.quantized_type(tensor.nodes[0]) != TensorProto.UNDEFINED
        if typed and tensor.zero_point.dtype != np.int8 and not np.any(tensor.zero_point):
            repaired = make_symmetric(model, edit, tensor, "OQ622")
            if repaired is not None:
                yield repaired
