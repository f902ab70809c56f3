"""OQ630: a tensor is quantized with one scale."""

from collections.abc import Iterator

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.operands import unequal_scales
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule
from onnxq.model.pairs import QUANTIZE


@rule("OQ630")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find tensors that are stored once for each of several scales."""
    for node, tensor in model.first_by(lambda n: n.inputs[0]):
        if node.op != QUANTIZE or model.is_constant(tensor):
            continue
        quantizers = model.quantizers(tensor)
        if unequal_scales(model, quantizers):
            names = ", ".join(f"'{n.name}'" for n in quantizers[:3])
            yield finding(
                "OQ630",
                Effect.COST,
                f"'{tensor}' is quantized with unequal scales ({names}): it is stored once for "
                f"each",
                fix="let all its readers share one pair",
                node=node.name,
            )
