"""OQ631: no pair stands between a weighted op and its normalization or activation."""

from collections.abc import Iterator

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule
from onnxq.model.ops import traits


@rule("OQ631")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find pairs behind a weighted op that TensorRT would fuse with the reader of the pair."""
    for quantizer, node in model.pairs():
        maker = model.graph.producer(quantizer.inputs[0])
        if maker is None or not traits(maker).weighted:
            continue
        fused = next((n for n in model.readers(node.outputs[0]) if traits(n).fused), None)
        if fused is not None:
            yield finding(
                "OQ631",
                Effect.COST,
                f"a pair stands between {maker.op} '{maker.name}' and {fused.op} '{fused.name}', "
                f"which TensorRT would compute in one kernel",
                fix="put the pair behind the activation",
                node=maker.name,
            )
