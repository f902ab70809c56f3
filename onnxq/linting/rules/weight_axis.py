"""OQ613: per-channel weights have one scale a channel, on the axis that their op needs."""

from collections.abc import Iterator

from onnxq.linting.edit import Edit, Repair
from onnxq.linting.finding import Effect, Finding
from onnxq.linting.granularity import granularity
from onnxq.linting.qdq import QdqModel
from onnxq.linting.ranges import dequantized, faulty_tensors, flattened, requantized
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
        node, axis, flat = tensor.dequantizers[0], fault.axis, flattened(tensor)
        shape = model.graph.type(node.inputs[0]).shape or ()
        if axis is None or flat is None:
            continue
        if fault.effect is Effect.FLOAT or (flat is not tensor and flat.axis != axis):
            values = dequantized(model, flat)
            repair = None if values is None else requantized(edit, flat, values, axis, "OQ613")
            if repair is not None:
                yield repair
        elif flat.scale.size == shape[axis]:
            if flat is tensor:
                for name in tensor.names:
                    edit.axis(name, axis)
            else:
                edit.parameters(tensor.names, flat.scale, flat.zero_point, axis)
            text = f"{node.op} '{node.name}' has axis {axis}, which its scales fit"
            yield Repair(code="OQ613", node=node.name, text=text, exact=False)
