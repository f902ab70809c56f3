"""OQ628: a residual Add reads the int8 copy of its skip tensor, where there is one."""

from collections.abc import Iterator

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule
from onnxq.model.ops import traits


@rule("OQ628")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find skip tensors that are kept in float beside their int8 copy."""
    for node in model.graph.nodes:
        if node.type != "Add" or len(node.inputs) != 2:
            continue
        for main, skip in (node.inputs, node.inputs[::-1]):
            if _from_conv(model, main) and not _from_conv(model, skip) and model.quantizers(skip):
                yield finding(
                    "OQ628",
                    Effect.COST,
                    f"Add '{node.name}' reads '{skip}' in float, while others read it in int8: "
                    f"it is stored twice",
                    fix="let the Add read what the DequantizeLinear of the others gives",
                    node=node.name,
                )


def _from_conv(model: QdqModel, tensor: str) -> bool:
    pair_node = model.dequantizer(tensor)
    node = model.graph.producer(model.quantized_tensor(pair_node) if pair_node else tensor)
    if node is not None and node.type == "BatchNormalization" and node.inputs:
        node = model.graph.producer(node.inputs[0])
    return node is not None and traits(node).is_convolution
