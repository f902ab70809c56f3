"""OQ612: a per-tensor scale has rank 0, not one dimension of size 1."""

from collections.abc import Iterator

from onnxq.linting.edit import Edit, Repair
from onnxq.linting.finding import Finding
from onnxq.linting.granularity import granularity
from onnxq.linting.qdq import QdqModel
from onnxq.linting.ranges import faulty_tensors
from onnxq.linting.registry import repair, rule


@rule("OQ612")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find scales of shape [1]."""
    yield from granularity(model, "OQ612", fix="make the scale and the zero point rank 0")


@repair("OQ612")
def make_scalars(model: QdqModel, edit: Edit) -> Iterator[Repair]:
    """Give scales of one value, and their zero points, rank 0."""
    for tensor, _ in faulty_tensors(model, "OQ612"):
        if tensor.scale.size == 1:
            zero = tensor.zero_point.reshape(-1)[:1].reshape(())
            edit.parameters(tensor.names, tensor.scale.reshape(()), zero, None)
            node = tensor.nodes[0]
            text = f"{node.op} '{node.name}' has a scalar scale"
            yield Repair(code="OQ612", node=node.name, text=text, exact=True)
