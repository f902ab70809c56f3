"""OQ615: a QuantizeLinear and the DequantizeLinear behind it have one scale."""

from collections.abc import Iterator

from onnxq.linting.edit import Edit, Repair
from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.operands import unequal_scales
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import repair, rule


@rule("OQ615")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find pairs whose two scales differ."""
    for quantizer, node in model.pairs():
        if unequal_scales(model, (quantizer, node)):
            yield finding(
                "OQ615",
                Effect.COST,
                f"{quantizer.op} '{quantizer.name}' and {node.op} '{node.name}' have different "
                f"scales, which multiplies the tensor by their ratio",
                fix="give both the same scale",
                node=node.name,
            )


@repair("OQ615")
def same_scale(model: QdqModel, edit: Edit) -> Iterator[Repair]:
    """Give a DequantizeLinear the scale of the QuantizeLinear before it."""
    for quantizer, node in model.pairs():
        if unequal_scales(model, (quantizer, node)):
            edit.rewire(node.name, 1, quantizer.inputs[1])
            text = f"{node.op} '{node.name}' has the scale of '{quantizer.name}'"
            yield Repair(code="OQ615", node=node.name, text=text, exact=False)
