"""OQ618: int8 constants are no scalars, only a DequantizeLinear reads them, and it is not first."""

from collections.abc import Iterator

import numpy as np
from onnx import TensorProto

from onnxq.linting.edit import Edit, Repair
from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import repair, rule
from onnxq.linting.rules.unsupported_ops import is_unsupported
from onnxq.model.early_constants import delay, early_constant
from onnxq.model.graph import Node
from onnxq.model.pairs import DEQUANTIZE, is_pair_node


@rule("OQ618")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find int8 constants with another reader."""
    for node in model.graph.nodes:
        for tensor in node.inputs:
            if _is_stored_int8(model, tensor) and not _may_read_int8(model, node):
                yield _finding(node, tensor, "which TensorRT accepts only in front of a DQ")
    for node in stored_scalars(model):
        yield _finding(node, node.inputs[0], "a scalar, which TensorRT rejects")
    if (first := early_constant(model.named.graph)) is not None:
        yield finding(
            "OQ618",
            Effect.REJECTED,
            f"{first.op_type} '{first.name}' of the int8 constant '{first.input[0]}' is the first "
            "Q/DQ node of the file and is joined with an activation, which TensorRT rejects",
            fix="put another Q or DQ node in front of it, as 'onnxq lint --fix' does",
            node=first.name,
        )


def _finding(node: Node, tensor: str, reason: str) -> Finding:
    return finding(
        "OQ618",
        Effect.REJECTED,
        f"{node.op} '{node.name}' reads the int8 constant '{tensor}', {reason}",
        fix="leave scalars in float, and put the DequantizeLinear directly behind other constants",
        node=node.name,
    )


def stored_scalars(model: QdqModel) -> Iterator[Node]:
    """Every DequantizeLinear of a stored quantized scalar."""
    for node in model.pair_nodes:
        stored = is_pair_node(node, DEQUANTIZE) and _is_stored_int8(model, node.inputs[0])
        if stored and model.rank(node.inputs[0]) == 0:
            yield node


def _is_stored_int8(model: QdqModel, tensor: str) -> bool:
    return model.graph.is_constant(tensor) and model.graph.type(tensor).dtype == TensorProto.INT8


def _may_read_int8(model: QdqModel, node: Node) -> bool:
    functions = {(f.domain, f.name) for f in model.proto.functions}
    if is_pair_node(node) or is_unsupported(node) or (node.domain, node.op) in functions:
        return True
    readers = [e for out in node.outputs for e in model.graph.consumers(out)]
    zero_point = readers and all(
        e.slot == 2 and is_pair_node(model.graph.by_name[e.node]) for e in readers
    )
    return node.type == "Identity" and bool(zero_point)


@repair("OQ618")
def store_folded(model: QdqModel, edit: Edit) -> Iterator[Repair]:
    """Store the result of an op on an int8 constant, for the DequantizeLinear to read."""
    for node in model.pair_nodes:
        tensor = node.inputs[0]
        maker = model.graph.producer(tensor)
        if maker is None or maker.op == "Constant" or not _is_stored_int8(model, tensor):
            continue
        values = model.value(tensor)
        if values is not None and is_pair_node(node, DEQUANTIZE):
            edit.rewire(node.name, 0, edit.constant(tensor, values))
            text = f"what {maker.op} '{maker.name}' makes of a constant is stored"
            yield Repair(code="OQ618", node=node.name, text=text, exact=True)


@repair("OQ618")
def float_scalars(model: QdqModel, edit: Edit) -> Iterator[Repair]:
    """Store a quantized scalar in float, where the type of its scale can hold it."""
    for node in stored_scalars(model):
        scale, value = model.value(node.inputs[1]), model.value(node.inputs[0])
        zero = model.value(model.zero_point(node)) if model.zero_point(node) else np.int8(0)
        if scale is None or value is None or zero is None or not scale.size == zero.size == 1:
            continue
        shifted = value.astype(scale.dtype) - zero.astype(scale.dtype).reshape(())
        with np.errstate(over="ignore", invalid="ignore"):
            result = shifted * scale.reshape(())
        if np.isfinite(result.astype(np.float32)):
            edit.replace(node.outputs[0], edit.constant(node.outputs[0], result))
            text = f"the scalar '{node.inputs[0]}' is stored in float"
            yield Repair(code="OQ618", node=node.name, text=text, exact=True)


@repair("OQ618")
def delay_first(model: QdqModel, edit: Edit) -> Iterator[Repair]:
    """Move the DequantizeLinear of a constant away from the beginning of the file."""
    while (node := early_constant(edit.model.graph)) is not None:
        name = node.name
        if not delay(edit.model.graph, node):
            return
        text = f"DequantizeLinear '{name}' stands in front of its reader"
        yield Repair(code="OQ618", node=name, text=text, exact=True)
