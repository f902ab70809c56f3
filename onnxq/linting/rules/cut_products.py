"""OQ642: a product whose result is cut into parts has a pair in front of the cut."""

from collections.abc import Iterator

from onnxq.linting.cut_products import cut_in_float
from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.operands import why_not_int8
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule


@rule("OQ642")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find fused queries, keys and values that have pairs only behind their cut."""
    for node in model.weighted_nodes:
        cut = None if why_not_int8(model, node) else cut_in_float(model, node)
        if cut is not None:
            yield finding(
                "OQ642",
                Effect.FLOAT,
                f"{node.op} '{node.name}': its result '{cut.tensor}' is cut into "
                f"{len(cut.parts)} parts, with no pair in front of the cut",
                fix="put a pair there, as the shipped recipes do",
                node=node.name,
            )
