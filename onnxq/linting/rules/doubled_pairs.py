"""OQ629: no pair stands directly behind another one."""

from collections.abc import Iterator

import numpy as np

from onnxq.linting.edit import Edit, Repair
from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.operands import unequal_scales
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import repair, rule
from onnxq.model.graph import Node
from onnxq.model.pairs import DEQUANTIZE, QUANTIZE, is_pair_node


@rule("OQ629")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find a QuantizeLinear that reads a DequantizeLinear."""
    for first, second in doubled(model):
        differ = unequal_scales(model, (first, second))
        does = "rounds the tensor again at another scale" if differ else "does nothing"
        yield finding(
            "OQ629",
            Effect.COST,
            f"{second.op} '{second.name}' stands right behind {first.op} '{first.name}' and {does}",
            fix="remove one of the two pairs",
            node=second.name,
        )


def doubled(model: QdqModel) -> Iterator[tuple[Node, Node]]:
    """Every DequantizeLinear with each QuantizeLinear that reads it."""
    for node in model.pair_nodes:
        if is_pair_node(node, QUANTIZE):
            before = model.dequantizer(node.inputs[0])
            if before is not None:
                yield before, node


@repair("OQ629")
def merge(model: QdqModel, edit: Edit) -> Iterator[Repair]:
    """Remove the second of two equal pairs."""
    for first, second in doubled(model):
        readers = model.readers(second.outputs[0])
        whole = readers and all(_may_go(model, node) for node in readers)
        if whole and _alike(model, first, second, *readers):
            for node in readers:
                edit.replace(node.outputs[0], first.outputs[0])
            text = f"the pair behind '{first.name}' is left out"
            yield Repair(code="OQ629", node=second.name, text=text, exact=True)


def _may_go(model: QdqModel, node: Node) -> bool:
    return is_pair_node(node, DEQUANTIZE) and node.outputs[0] not in model.graph.given_out


def _alike(model: QdqModel, *nodes: Node) -> bool:
    """True for int8 around 0 with one scale that is known."""
    zeros = [model.value(model.zero_point(n)) for n in nodes if model.zero_point(n)]
    scales = [model.scale(n) for n in nodes]
    return (
        len(zeros) == len(nodes)
        and all(z is not None and z.dtype == np.int8 and not z.any() for z in zeros)
        and all(s is not None and s.ndim == 0 for s in scales)
        and not unequal_scales(model, nodes)
    )
