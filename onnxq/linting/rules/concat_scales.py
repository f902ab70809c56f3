"""OQ626: tensors that are joined have one scale, or a pair on their join."""

from collections.abc import Iterator

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.operands import unequal_scales
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule
from onnxq.model.node_inputs import data_inputs


@rule("OQ626")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find weighted ops that read a join of unequal scales."""
    for node in model.weighted_nodes:
        for _, tensor in data_inputs(node):
            dequantizers, bare = model.dequantizers(tensor)
            if not (bare or model.is_constant(tensor)) and unequal_scales(model, dequantizers):
                names = ", ".join(f"'{n.name}'" for n in dequantizers[:3])
                yield finding(
                    "OQ626",
                    Effect.FLOAT,
                    f"{node.op} '{node.name}': activation '{tensor}' joins tensors of unequal "
                    f"scales ({names}) and has no pair of its own",
                    fix="give the joined tensors one scale, or put a pair on their join",
                    node=node.name,
                )
