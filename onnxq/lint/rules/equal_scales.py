"""OQ615: a QuantizeLinear and the DequantizeLinear behind it have one scale."""

from collections.abc import Iterator

from onnxq.lint.finding import Effect, Finding, finding
from onnxq.lint.operands import unequal_scales
from onnxq.lint.qdq import QdqModel
from onnxq.lint.registry import rule


@rule("OQ615")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find pairs whose two scales differ."""
    for node in model.pair_nodes:
        quantizer = model.quantizer(node) if node.op == "DequantizeLinear" else None
        if quantizer is not None and unequal_scales(model, (quantizer, node)):
            yield finding(
                "OQ615",
                Effect.COST,
                f"{quantizer.op} '{quantizer.name}' and {node.op} '{node.name}' have different "
                f"scales, which multiplies the tensor by their ratio",
                fix="give both the same scale",
                node=node.name,
            )
