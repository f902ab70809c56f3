"""OQ622: tensors are quantized to a type that TensorRT has."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from onnx import TensorProto

from onnxq.linting.edit import Edit, Repair
from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.operands import TAKEN_FOR
from onnxq.linting.qdq import QdqModel
from onnxq.linting.ranges import make_symmetric, quantized_tensors
from onnxq.linting.registry import repair, rule

# An int32 is a quantized bias, which has a rule of its own.
_NOT_FAULTY: Final = {*TAKEN_FOR, TensorProto.INT32, TensorProto.UNDEFINED} - {TensorProto.UINT8}


@rule("OQ622")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find quantized types that TensorRT rejects, or takes for int8."""
    seen: set[str] = set()
    for node in model.pair_nodes:
        tensor = model.quantized_side(node)
        dtype = model.quantized_type(node) if tensor not in seen else TensorProto.UNDEFINED
        seen.add(tensor)
        if dtype in _NOT_FAULTY:
            continue
        name = str(TensorProto.DataType.Name(dtype)).lower()
        unsigned = dtype == TensorProto.UINT8
        does = "which TensorRT takes for int8" if unsigned else "which TensorRT does not have"
        yield finding(
            "OQ622",
            Effect.DIFFERENT if unsigned else Effect.REJECTED,
            f"{node.op} '{node.name}' quantizes '{model.quantized_tensor(node)}' to {name}, {does}",
            fix="quantize it to int8",
            node=node.name,
        )


@repair("OQ622")
def make_int8(model: QdqModel, edit: Edit) -> Iterator[Repair]:
    """Quantize to int8 with a scale for the same range."""
    for found in quantized_tensors(model):
        typed = model.quantized_type(found.nodes[0]) != TensorProto.UNDEFINED
        if typed and found.zero_point.dtype != np.int8 and not np.any(found.zero_point):
            done = make_symmetric(model, edit, found, "OQ622")
            if done is not None:
                yield done
