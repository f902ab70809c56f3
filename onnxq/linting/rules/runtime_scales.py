"""OQ623: scales are constants."""

from collections.abc import Iterator

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule


@rule("OQ623")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find scales that are computed, or given as an input: these crash the builder."""
    seen: set[str] = set()
    for node in model.pair_nodes:
        tensor = node.inputs[1]
        if tensor not in seen and model.value(tensor) is None and not model.is_constant(tensor):
            given = tensor in model.graph.inputs
            yield finding(
                "OQ623",
                Effect.CRASHES,
                f"scale '{tensor}' of {node.op} '{node.name}' is "
                f"{'an input of the model' if given else 'computed at run time'}, "
                f"which crashes TensorRT-RTX",
                fix="store the scale in the model",
                node=node.name,
            )
        seen.add(tensor)
