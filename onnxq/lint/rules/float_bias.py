"""OQ616: no int32 tensor is dequantized, as some tools do with a bias."""

from collections.abc import Iterator

from onnx import TensorProto

from onnxq.lint.finding import Effect, Finding, finding
from onnxq.lint.qdq import QdqModel
from onnxq.lint.registry import rule


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
