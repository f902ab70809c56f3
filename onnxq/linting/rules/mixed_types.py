"""OQ634: the operands of a weighted op are quantized to one type."""

from collections.abc import Iterator
from typing import Final

from onnxq.formats import type_name
from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.operands import mixed_types, operand_types
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule

_OUTCOMES: Final = {
    Effect.REJECTED: "which TensorRT rejects",
    Effect.FLOAT: "which TensorRT-RTX computes in float",
    Effect.COST: "so TensorRT-RTX converts the int4 to int8 at every inference",
}


@rule("OQ634")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find int8 activations on FP8 weights and the like."""
    for node in model.weighted_nodes:
        effect = mixed_types(model, node)
        if effect is not None:
            types = operand_types(model, node).values()
            names = " and ".join(type_name(dtype) for dtype in types)
            yield finding(
                "OQ634",
                effect,
                f"{node.op} '{node.name}' multiplies {names}, {_OUTCOMES[effect]}",
                fix="quantize all its operands to one type",
                node=node.name,
            )
