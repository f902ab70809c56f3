"""OQ613: per-channel weights have one scale a channel, on the axis that their op needs."""

from collections.abc import Iterator

from onnxq.lint.finding import Finding
from onnxq.lint.operands import granularity
from onnxq.lint.qdq import QdqModel
from onnxq.lint.registry import rule


@rule("OQ613")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find wrong and missing axes, and scales that are not one a channel."""
    fix = "write one scale for each output channel, on the axis of that channel"
    yield from granularity(model, "OQ613", fix=fix)
