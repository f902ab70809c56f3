"""OQ612: a per-tensor scale has rank 0, not one dimension of size 1."""

from collections.abc import Iterator

from onnxq.linting.edit import Edit, Repair
from onnxq.linting.finding import Finding
from onnxq.linting.operands import faulty_pairs, granularity
from onnxq.linting.qdq import QdqModel
from onnxq.linting.ranges import quantized_tensors
from onnxq.linting.registry import repair, rule


@rule("OQ612")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find scales of shape [1]."""
    yield from granularity(model, "OQ612", fix="make the scale and the zero point rank 0")


@repair("OQ612")
def make_scalars(model: QdqModel, edit: Edit) -> Iterator[Repair]:
    """Give scales of one value, and their zero points, rank 0."""
    faulty = {fault.pair_node for _, fault in faulty_pairs(model) if fault.code == "OQ612"}
    for found in quantized_tensors(model):
        if found.scale.size == 1 and not faulty.isdisjoint(n.name for n in found.nodes):
            zero = found.zero_point.reshape(-1)[:1].reshape(())
            edit.parameters((n.name for n in found.nodes), found.scale.reshape(()), zero, None)
            node = found.nodes[0]
            text = f"{node.op} '{node.name}' has a scalar scale"
            yield Repair(code="OQ612", node=node.name, text=text, exact=True)
