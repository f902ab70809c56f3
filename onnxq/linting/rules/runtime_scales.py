"""OQ623: scales are constants."""

from collections.abc import Iterator

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule


@rule("OQ623")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find scales that are computed, or are an input: these crash the builder."""
    for node, tensor in model.first_by(lambda n: n.inputs[1]):
        if model.value(tensor) is None and not model.is_constant(tensor):
            is_input = tensor in model.graph.inputs
            yield finding(
                "OQ623",
                Effect.CRASHES,
                f"scale '{tensor}' of {node.op} '{node.name}' is "
                f"{'an input of the model' if is_input else 'computed at run time'}, "
                f"which crashes TensorRT-RTX",
                fix="store the scale in the model",
                node=node.name,
            )
