"""OQ617: a weighted op has pairs on all of its operands or on none."""

from collections.abc import Iterator

from onnxq.lint.finding import Effect, Finding, finding
from onnxq.lint.operands import no_pair, operands
from onnxq.lint.qdq import QdqModel
from onnxq.lint.registry import rule


@rule("OQ617")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find ops of which only some operands are quantized."""
    for node in model.weighted_nodes:
        behind = [(t, *model.dequantizers(t)) for _, t in operands(model, node)]
        bare = [(t, missing[0]) for t, _, missing in behind if missing]
        if bare and len(bare) < len(behind):
            yield finding(
                "OQ617",
                Effect.FLOAT,
                f"{node.op} '{node.name}': {no_pair(model, *bare[0])}, its other input has",
                fix="quantize both, or neither if the op is to stay in float",
                node=node.name,
            )
