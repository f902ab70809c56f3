"""OQ614: activations are quantized per tensor."""

from collections.abc import Iterator

from onnxq.lint.finding import Finding
from onnxq.lint.operands import granularity
from onnxq.lint.qdq import QdqModel
from onnxq.lint.registry import rule


@rule("OQ614")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find activations with a scale for each channel."""
    fix = "use one scalar scale for the whole activation"
    yield from granularity(model, "OQ614", fix=fix)
