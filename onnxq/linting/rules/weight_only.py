"""OQ636: ops with quantized weights and float activations, for INT4 and block quantization."""

from collections.abc import Iterator

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.operands import is_weight_only
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule


@rule("OQ636")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find weighted ops that compute in float with compressed weights."""
    for node in model.weighted_nodes:
        if is_weight_only(model, node):
            yield finding(
                "OQ636",
                Effect.NOTE,
                f"{node.op} '{node.name}' has compressed weights and computes in float",
                fix="for speed quantize the activation too, and the weight to int8, per channel",
                node=node.name,
            )
