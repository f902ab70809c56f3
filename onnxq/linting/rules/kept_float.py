"""OQ638: pairs that TensorRT uses and TensorRT-RTX does not."""

from collections.abc import Iterator

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.operands import bare_operands
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule
from onnxq.model.graph import Node
from onnxq.model.node_inputs import data_inputs
from onnxq.model.ops import traits


@rule("OQ638")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find ConvTranspose and average pools that have all their pairs."""
    for node in model.graph.nodes:
        if _is_whole(model, node):
            yield finding(
                "OQ638",
                Effect.NOTE,
                f"{node.op} '{node.name}' runs in float in TensorRT-RTX; TensorRT documents it as "
                f"quantizable",
                fix="leave it in float if TensorRT-RTX is what you deploy",
                node=node.name,
            )


def _is_whole(model: QdqModel, node: Node) -> bool:
    if not traits(node).kept_float or not node.inputs:
        return False
    if traits(node).weighted:
        return any(data_inputs(node)) and not any(bare_operands(model, node))
    behind = bool(model.quantizers(node.outputs[0]))
    return behind and model.dequantizer(node.inputs[0]) is not None
