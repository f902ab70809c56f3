"""OQ630: a tensor is quantized with one scale."""

from collections.abc import Iterator

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.operands import unequal_scales
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule
from onnxq.model.pairs import QUANTIZE, is_pair_node


@rule("OQ630")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find tensors that are stored once for each of several scales."""
    seen: set[str] = set()
    for node in model.pair_nodes:
        tensor = node.inputs[0]
        if not is_pair_node(node, QUANTIZE) or tensor in seen or model.is_constant(tensor):
            continue
        seen.add(tensor)
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
