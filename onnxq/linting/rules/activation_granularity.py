"""OQ614: activations are quantized per tensor."""

from collections.abc import Iterator

import numpy as np

from onnxq.linting.edit import Edit, Repair
from onnxq.linting.finding import Finding
from onnxq.linting.granularity import granularity
from onnxq.linting.qdq import QdqModel
from onnxq.linting.ranges import faulty_tensors
from onnxq.linting.registry import repair, rule


@rule("OQ614")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find activations with a scale for each channel."""
    fix = "use one scalar scale for the whole activation"
    yield from granularity(model, "OQ614", fix=fix)


@repair("OQ614")
def widest(model: QdqModel, edit: Edit) -> Iterator[Repair]:
    """Take the scale of the channel with the widest range for all."""
    for tensor, _ in faulty_tensors(model, "OQ614"):
        if tensor.scale.size and not np.any(tensor.zero_point):
            zero = np.zeros((), tensor.zero_point.dtype)
            edit.parameters(tensor.names, tensor.scale.max(), zero, None)
            node = tensor.nodes[0]
            text = f"{node.op} '{node.name}' has the largest scale of its channels"
            yield Repair(code="OQ614", node=node.name, text=text, exact=False)
