"""OQ612: a per-tensor scale has rank 0, not one dimension of size 1."""

from collections.abc import Iterator

from onnxq.lint.finding import Finding
from onnxq.lint.operands import granularity
from onnxq.lint.qdq import QdqModel
from onnxq.lint.registry import rule


@rule("OQ612")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find scales of shape [1]."""
    yield from granularity(model, "OQ612", fix="make the scale and the zero point rank 0")
