"""OQ637: activations are not quantized to INT4."""

from collections.abc import Iterator

from onnx import TensorProto

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.operands import mixed_types, operand_types
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule
from onnxq.model.graph import Node
from onnxq.model.ops import traits


@rule("OQ637")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find INT4 pairs on activations."""
    for node in model.weighted_nodes:
        for tensor, dtype in operand_types(model, node).items():
            if dtype == TensorProto.INT4 and not model.is_constant(tensor):
                yield finding(
                    "OQ637",
                    _effect(model, node),
                    f"{node.op} '{node.name}': activation '{tensor}' is quantized to int4, which "
                    f"TensorRT has for weights only",
                    fix="quantize the activation to int8",
                    node=node.name,
                )


def _effect(model: QdqModel, node: Node) -> Effect:
    mixed = mixed_types(model, node)
    if mixed is not None:
        return mixed
    return Effect.REJECTED if traits(node).is_convolution else Effect.FLOAT
