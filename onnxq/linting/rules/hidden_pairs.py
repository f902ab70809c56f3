"""OQ632: Q/DQ in local functions and in subgraphs of other ops, which lint does not check."""

from collections.abc import Iterator

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule


@rule("OQ632")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find Q/DQ nodes in functions of the model, and in subgraphs but of If, Loop and Scan."""
    if model.hidden_pair_nodes:
        yield finding(
            "OQ632",
            Effect.NOTE,
            f"{model.hidden_pair_nodes} QuantizeLinear and DequantizeLinear nodes are in "
            f"local functions or in subgraphs but of If, Loop and Scan, where lint does not look",
            fix="inline them to have them checked (onnx.inliner for functions)",
        )
