"""OQ621: the model has Q/DQ nodes."""

from collections.abc import Iterator

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule
from onnxq.linting.rules.unsupported_ops import is_unsupported


@rule("OQ621")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find models without any Q/DQ."""
    if not (model.pair_nodes or model.hidden_pair_nodes or _is_quantized(model)):
        yield finding(
            "OQ621",
            Effect.FLOAT,
            "the model has no QuantizeLinear or DequantizeLinear",
            fix="give a Q/DQ model; onnxq insert makes one",
        )


def _is_quantized(model: QdqModel) -> bool:
    """True for other quantized operators, which OQ624 reports."""
    return any(is_unsupported(node) for node in model.graph.nodes)
