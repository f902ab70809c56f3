"""OQ621: there is something quantized to check."""

from collections.abc import Iterator

from onnxq.lint.finding import Effect, Finding, finding
from onnxq.lint.qdq import QdqModel
from onnxq.lint.registry import rule


@rule("OQ621")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find models without any Q/DQ."""
    if not model.pair_nodes and not model.hidden_pair_nodes:
        yield finding(
            "OQ621",
            Effect.FLOAT,
            "the model has no QuantizeLinear or DequantizeLinear",
            fix="give the Q/DQ model, after the float model",
        )
