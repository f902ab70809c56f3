"""OQ628: a residual Add reads the int8 copy of its skip tensor, where there is one."""

from collections.abc import Iterator

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule
from onnxq.model.graph import Node
from onnxq.model.ops import traits
from onnxq.model.residuals import is_computed_from, sides_of


@rule("OQ628")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find skip tensors that are kept in float beside their int8 copy."""
    for node in model.graph.nodes:
        skip = _float_skip(model, node)
        if skip:
            yield finding(
                "OQ628",
                Effect.COST,
                f"{node.op} '{node.name}' reads '{skip}' in float, while others read it in int8: "
                f"it is stored twice",
                fix=f"let the {node.op} read the DequantizeLinear that the others read",
                node=node.name,
            )


def _float_skip(model: QdqModel, node: Node) -> str:
    """The tensor round a block that a sum reads in float beside its quantized copy; '' for none."""
    for sides in sides_of(model.graph, node):
        skip, main = node.inputs[sides.skip], node.inputs[sides.main]
        if model.quantizers(skip) and (
            is_computed_from(model.graph, main, skip)
            or (_is_from_conv(model, main) and not _is_from_conv(model, skip))
        ):
            return skip
    return ""


def _is_from_conv(model: QdqModel, tensor: str) -> bool:
    pair_node = model.dequantizer(tensor)
    node = model.graph.producer(model.quantized_tensor(pair_node) if pair_node else tensor)
    if node is not None and node.type == "BatchNormalization" and node.inputs:
        node = model.graph.producer(node.inputs[0])
    return node is not None and traits(node).is_convolution
