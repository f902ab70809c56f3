"""OQ641: the reader of a weight in blocks computes with blocks."""

from collections.abc import Iterator
from typing import Final

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.operands import block_fault
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule
from onnxq.model.node_inputs import data_inputs

_OUTCOMES: Final = {
    Effect.REJECTED: "which TensorRT rejects",
    Effect.CRASHES: "which crashes the builder of TensorRT-RTX",
    Effect.FLOAT: "so it computes in float",
    Effect.DIFFERENT: "and TensorRT-RTX multiplies all blocks with the scales of the first",
}
_FIXES: Final = {
    Effect.REJECTED: "put its blocks on the last two axes, and leave the activation in float",
    Effect.CRASHES: "put the weight on the right, or give it one scale a channel",
    Effect.FLOAT: "give the weight one scale a channel, or leave the activation in float",
    Effect.DIFFERENT: "give the weight one scale a channel, or leave the activation in float",
}


@rule("OQ641")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find blocks that TensorRT-RTX rejects or computes wrongly."""
    for node in model.weighted_nodes:
        for slot, tensor in data_inputs(node):
            fault = block_fault(model, node, slot) if model.is_constant(tensor) else None
            if fault is not None:
                yield finding(
                    "OQ641",
                    fault.effect,
                    f"{node.op} '{node.name}': {fault.text}, {_OUTCOMES[fault.effect]}",
                    fix=_FIXES[fault.effect],
                    node=node.name,
                )
