"""OQ632: says what lint does not look at: Q/DQ in subgraphs and in local functions."""

from collections.abc import Iterator

from onnxq.lint.finding import Effect, Finding, finding
from onnxq.lint.qdq import QdqModel
from onnxq.lint.registry import rule


@rule("OQ632")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find Q/DQ nodes inside If, Loop and Scan, and in functions of the model."""
    if model.hidden_pair_nodes:
        yield finding(
            "OQ632",
            Effect.NOTE,
            f"{model.hidden_pair_nodes} QuantizeLinear and DequantizeLinear nodes are in "
            f"subgraphs or local functions, where lint does not look",
            fix="inline them to have them checked (onnx.inliner for functions)",
        )
