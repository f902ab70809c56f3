"""OQ627: a MaxPool with a pair in front and several readers has one behind it too."""

from collections.abc import Iterator

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule
from onnxq.model.graph import Node
from onnxq.model.pairs import QUANTIZE, is_pair_node


@rule("OQ627")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find pools that run in float between int8 ops."""
    for node in model.graph.nodes:
        if node.type != "MaxPool" or not node.inputs or model.dequantizer(node.inputs[0]) is None:
            continue
        readers = model.readers(node.outputs[0])
        plain = [n for n in readers if not is_pair_node(n, QUANTIZE)]
        if plain and (len(readers) > 1 or _joins_float(model, plain[0])):
            yield finding(
                "OQ627",
                Effect.COST,
                f"MaxPool '{node.name}' has a pair in front of it and none on the way to "
                f"{plain[0].op} '{plain[0].name}', so that it runs in float",
                fix="quantize the output with the same scale, or put pairs only behind it",
                node=node.name,
            )


def _joins_float(model: QdqModel, node: Node) -> bool:
    """True for a Concat of which other inputs have no pair, so that no pair moves across it."""
    return node.type == "Concat" and bool(model.dequantizers(node.outputs[0])[1])
