"""OQ622: tensors are quantized to a type that TensorRT has."""

from collections.abc import Iterator
from typing import Final

from onnx import TensorProto

from onnxq.graph import Node
from onnxq.lint.finding import Effect, Finding, finding
from onnxq.lint.qdq import QdqModel
from onnxq.lint.registry import rule

_TAKEN: Final = frozenset(
    {
        TensorProto.INT8,
        TensorProto.FLOAT8E4M3FN,
        TensorProto.INT4,
        TensorProto.FLOAT4E2M1,
        TensorProto.INT32,  # a quantized bias, which has a rule of its own
        TensorProto.UNDEFINED,
    }
)


@rule("OQ622")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find quantized types that TensorRT rejects, or takes for int8."""
    seen: set[str] = set()
    for node in model.pair_nodes:
        tensor = model.quantized_side(node)
        dtype = quantized_type(model, node) if tensor not in seen else TensorProto.UNDEFINED
        seen.add(tensor)
        if dtype in _TAKEN:
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


def quantized_type(model: QdqModel, node: Node) -> int:
    """The quantized type of a Q or DQ as onnx numbers it; 0 where the file does not write it."""
    if zero_point := model.zero_point(node):
        return model.graph.type(zero_point).dtype
    if node.op == "QuantizeLinear":  # inferred as uint8 where nothing is written: OQ610
        return int(node.attributes.get("output_dtype", TensorProto.UNDEFINED))
    return model.graph.type(node.inputs[0]).dtype
