"""OQ613: per-channel weights have one scale a channel, on the axis that their op needs."""

from collections.abc import Iterator

from onnxq.linting.edit import Edit, Repair
from onnxq.linting.finding import Effect, Finding
from onnxq.linting.operands import faulty_pairs, granularity
from onnxq.linting.qdq import QdqModel
from onnxq.linting.ranges import dequantized, quantized_tensors, requantized
from onnxq.linting.registry import repair, rule


@rule("OQ613")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find wrong and missing axes, and scales that are not one a channel."""
    fix = "write one scale for each output channel, on the axis of that channel"
    yield from granularity(model, "OQ613", fix=fix)


@repair("OQ613")
def turn_axis(model: QdqModel, edit: Edit) -> Iterator[Repair]:
    """Quantize a weight anew on the right axis, or name that axis where the scales fit no other."""
    faulty = {fault.pair_node: fault for _, fault in faulty_pairs(model) if fault.code == "OQ613"}
    for found in quantized_tensors(model):
        fault = next((faulty[n.name] for n in found.nodes if n.name in faulty), None)
        if fault is None or fault.axis is None:
            continue
        shape = model.graph.type(found.dequantizers[0].inputs[0]).shape or ()
        if fault.effect is Effect.FLOAT:
            values = dequantized(model, found)
            if values is not None:
                yield requantized(edit, found, values, axis=fault.axis, code="OQ613")
        elif found.scale.size == shape[fault.axis]:
            for node in found.nodes:
                edit.axis(node.name, fault.axis)
            node = found.dequantizers[0]
            text = f"{node.op} '{node.name}' has axis {fault.axis}, which its scales fit"
            yield Repair(code="OQ613", node=node.name, text=text, exact=False)
