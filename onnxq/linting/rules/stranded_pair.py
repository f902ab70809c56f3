"""OQ625: no pair stands only in front of an op that TensorRT does not move it across."""

from collections.abc import Iterator

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.operands import bare_operands, stranding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule


@rule("OQ625")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find weighted ops that the pair in front of the op before them does not reach."""
    for node in model.weighted_nodes:
        for tensor, bare in bare_operands(model, node):
            blocker = stranding(model, bare)
            if blocker is not None:
                yield finding(
                    "OQ625",
                    Effect.FLOAT,
                    f"{node.op} '{node.name}': activation '{tensor}' has a pair only in front of "
                    f"{blocker.op} '{blocker.name}', which it cannot move across",
                    fix="put a pair behind that op too, or only there",
                    node=node.name,
                )
