"""OQ643: no FP8 filter has more taps than TensorRT has FP8 kernels for."""

from collections.abc import Iterator

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.operands import wide_filter
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule


@rule("OQ643")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find Convs in FP8 that run in float."""
    for node in model.weighted_nodes:
        if taps := wide_filter(model, node):
            yield finding(
                "OQ643",
                Effect.FLOAT,
                f"{node.op} '{node.name}' has FP8 filters of {taps} taps; above 32 it runs in "
                "float",
                fix="leave it in float, or quantize it to int8",
                node=node.name,
            )
