"""OQ618: an int8 constant is read by a DequantizeLinear and nothing else."""

from collections.abc import Iterator

from onnx import TensorProto

from onnxq.graph import Node
from onnxq.lint.finding import Effect, Finding, finding
from onnxq.lint.qdq import QdqModel, is_pair_node
from onnxq.lint.registry import rule


@rule("OQ618")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find int8 constants with another reader."""
    for node in model.graph.nodes:
        for tensor in node.inputs:
            if _is_stored_int8(model, tensor) and not _may_read_int8(model, node):
                yield finding(
                    "OQ618",
                    Effect.REJECTED,
                    f"{node.op} '{node.name}' reads the int8 constant '{tensor}', "
                    f"which TensorRT accepts only in front of a DequantizeLinear",
                    fix="put the DequantizeLinear directly behind the constant",
                    node=node.name,
                )


def _is_stored_int8(model: QdqModel, tensor: str) -> bool:
    return model.graph.is_constant(tensor) and model.graph.type(tensor).dtype == TensorProto.INT8


def _may_read_int8(model: QdqModel, node: Node) -> bool:
    if is_pair_node(node):
        return True
    readers = [e for out in node.outputs for e in model.graph.consumers(out)]
    zero_point = readers and all(
        e.slot == 2 and is_pair_node(model.graph.by_name[e.node]) for e in readers
    )
    return node.type == "Identity" and bool(zero_point)
