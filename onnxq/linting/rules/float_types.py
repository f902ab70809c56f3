"""OQ633: the operands of a weighted op come out of their pairs in one float type."""

from collections.abc import Iterator

from onnxq.formats import type_name
from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule


@rule("OQ633")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find float16 beside float32. TensorRT gives a dequantized tensor the type of its scale."""
    for node in model.weighted_nodes:
        types = {t: _float_type(model, t) for t in node.inputs if t}
        float_types = {t: dtype for t, dtype in types.items() if dtype}
        if len(set(float_types.values())) > 1 and any(model.dequantizer(t) for t in float_types):
            names = (f"'{t}' is {type_name(dtype)}" for t, dtype in float_types.items())
            yield finding(
                "OQ633",
                Effect.REJECTED,
                f"{node.op} '{node.name}' reads different float types: {', '.join(names)}",
                fix="give the scales of all its pairs, and its bias, one type",
                node=node.name,
            )


def _float_type(model: QdqModel, tensor: str) -> int:
    """The type as TensorRT reads it; 0 where it is not known, or several tensors are joined."""
    dequantizers, bare = model.dequantizers(tensor)
    if len(dequantizers) == 1 and not bare:
        return model.graph.type(dequantizers[0].inputs[1]).dtype
    return model.graph.type(bare[0]).dtype if len(bare) == 1 and not dequantizers else 0
