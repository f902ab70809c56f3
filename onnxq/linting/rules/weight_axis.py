"""OQ613: per-channel weights have one scale a channel, on the axis that their op needs."""

from collections.abc import Iterator

from onnxq.linting.edit import Edit, Repair
from onnxq.linting.finding import Effect, Finding
from onnxq.linting.operands import granularity
from onnxq.linting.qdq import QdqModel
from onnxq.linting.ranges import dequantized, faulty_tensors, requantized
from onnxq.linting.registry import repair, rule


@rule("OQ613")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find wrong and missing axes, and scales that are not one a channel."""
    fix = "write one scale for each output channel, on its axis, or one for the whole weight"
    yield from granularity(model, "OQ613", fix=fix)


@repair("OQ613")
def turn_axis(model: QdqModel, edit: Edit) -> Iterator[Repair]:
    """Quantize a weight again on the right axis, or only write that axis where its scales fit."""
    for tensor, fault in faulty_tensors(model, "OQ613"):
        node = tensor.dequantizers[0]
        shape = model.graph.type(node.inputs[0]).shape or ()
        if fault.axis is None:
            continue
        if fault.effect is Effect.FLOAT:
            values = dequantized(model, tensor)
            if values is not None:
                yield requantized(edit, tensor, values, axis=fault.axis, code="OQ613")
        elif tensor.scale.size == shape[fault.axis]:
            for name in tensor.names:
                edit.axis(name, fault.axis)
            text = f"{node.op} '{node.name}' has axis {fault.axis}, which its scales fit"
            yield Repair(code="OQ613", node=node.name, text=text, exact=False)
