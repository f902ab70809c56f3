"""OQ617: a weighted op has pairs on all of its operands or on none."""

from collections.abc import Iterator

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.operands import bare_operands, is_weight_only, no_pair, stranding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule
from onnxq.model.node_inputs import data_inputs


@rule("OQ617")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find ops of which only some operands are quantized."""
    for node in model.weighted_nodes:
        bare = list(bare_operands(model, node))
        one_sided = 0 < len(bare) < len(list(data_inputs(node)))
        if one_sided and not is_weight_only(model, node) and stranding(model, bare[0][1]) is None:
            yield finding(
                "OQ617",
                Effect.FLOAT,
                f"{node.op} '{node.name}': {no_pair(model, *bare[0])}, its other input has",
                fix="quantize both, or neither if the op is to stay in float",
                node=node.name,
            )
