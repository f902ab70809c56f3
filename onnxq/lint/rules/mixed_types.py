"""OQ634: the operands of a weighted op are quantized to one type."""

from collections.abc import Iterator

from onnx import TensorProto

from onnxq.lint.finding import Effect, Finding, finding
from onnxq.lint.operands import operand_types
from onnxq.lint.qdq import QdqModel
from onnxq.lint.registry import rule


@rule("OQ634")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find int8 activations on FP8 weights and the like."""
    for node in model.weighted_nodes:
        types = operand_types(model, node)
        # INT4 is for weights, whatever the activation is.
        told = {
            t: d
            for t, d in types.items()
            if d and not (d == TensorProto.INT4 and model.is_constant(t))
        }
        if len(set(told.values())) > 1 and all(types.values()):
            names = " and ".join(str(TensorProto.DataType.Name(d)).lower() for d in types.values())
            yield finding(
                "OQ634",
                Effect.REJECTED,
                f"{node.op} '{node.name}' multiplies {names}, which TensorRT rejects",
                fix="quantize all its operands to one type",
                node=node.name,
            )
