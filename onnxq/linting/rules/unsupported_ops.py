"""OQ624: nothing is computed by quantized operators that TensorRT cannot import."""

from collections.abc import Iterator

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule
from onnxq.model.graph import Node
from onnxq.model.ops import is_integer_op


@rule("OQ624")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find quantized operators other than QuantizeLinear and DequantizeLinear."""
    for node in model.graph.nodes:
        if is_unsupported(node):
            yield finding(
                "OQ624",
                Effect.REJECTED,
                f"{node.op} '{node.name}' is an operator that TensorRT cannot import",
                fix="quantize the float model with Q/DQ nodes (in onnxruntime's quantizer: "
                "quantize_static with QuantFormat.QDQ)",
                node=node.name,
            )


def is_unsupported(node: Node) -> bool:
    """True for a quantized operator that TensorRT cannot import."""
    return is_integer_op(node.type)
