"""OQ633: the operands of a weighted op come out of their pairs in one float type."""

from collections.abc import Iterator

from onnx import TensorProto

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule


@rule("OQ633")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find float16 beside float32. TensorRT gives a dequantized tensor the type of its scale."""
    for node in model.weighted_nodes:
        types = {t: _float_type(model, t) for t in node.inputs if t}
        known = {t: dtype for t, dtype in types.items() if dtype}
        if len(set(known.values())) > 1 and any(model.dequantizer(t) for t in known):
            told = ", ".join(
                f"'{t}' is {str(TensorProto.DataType.Name(dtype)).lower()}"
                for t, dtype in known.items()
            )
            yield finding(
                "OQ633",
                Effect.REJECTED,
                f"{node.op} '{node.name}' reads different float types: {told}",
                fix="give the scales of all its pairs, and its bias, one type",
                node=node.name,
            )


def _float_type(model: QdqModel, tensor: str) -> int:
    """The type as TensorRT sees it; 0 where it is not known or several things are joined."""
    found, bare = model.dequantizers(tensor)
    if len(found) == 1 and not bare:
        return model.graph.type(found[0].inputs[1]).dtype
    return model.graph.type(bare[0]).dtype if len(bare) == 1 and not found else 0
