"""The order of nodes that TensorRT needs where a stored constant is joined with an activation.

TensorRT-RTX 1.7 rejects a Concat of a stored int8 constant and a quantized activation when the
constant's DequantizeLinear is the first Q or DQ node of the file, and builds it anywhere behind.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

import onnx

from onnxq.model.pairs import DEQUANTIZE, is_pair_op
from onnxq.model.scopes import read_names

# Ops between a DequantizeLinear and the Concat that change nothing of this.
_SAME_VALUES: Final = {"Identity", "Expand"}


def early_constant(graph: onnx.GraphProto) -> onnx.NodeProto | None:
    """The first Q or DQ node, when it is of such a constant; None for another, or none."""
    first = next((n for n in graph.node if is_pair_op(n)), None)
    stored = {t.name: list(t.dims) for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            stored[node.output[0]] = list(node.attribute[0].t.dims)
    if first is None or not is_pair_op(first, DEQUANTIZE) or first.input[0] not in stored:
        return None
    if stored.get(first.input[1]) not in ([], [1]):
        return None
    makers = {out: n for n in graph.node for out in n.output if out}
    origins = ({_origin(t, makers) for t in n.input} for n in graph.node if n.op_type == "Concat")
    return first if any(_is_rejected(first.output[0], o, makers, stored) for o in origins) else None


def _origin(tensor: str, makers: dict[str, onnx.NodeProto]) -> str:
    while (node := makers.get(tensor)) is not None and node.op_type in _SAME_VALUES:
        tensor = node.input[0]
    return tensor


def _is_rejected(
    constant: str,
    origins: set[str],
    makers: dict[str, onnx.NodeProto],
    stored: Container[str],
) -> bool:
    nodes = [makers.get(tensor) for tensor in origins]
    dequantized = [n for n in nodes if n is not None and is_pair_op(n, DEQUANTIZE)]
    computed = any(n.input[0] not in stored for n in dequantized)
    return constant in origins and computed and len(dequantized) == len(nodes)


def delay(graph: onnx.GraphProto, first: onnx.NodeProto) -> bool:
    """Move an early constant to where it is read, in place; False where it is first even so.

    An Expand of it moves with it.
    """
    name = first.name
    _move(graph, first)
    now = early_constant(graph)
    return now is None or now.name != name


def _move(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """Move a node, and what follows it alone, right in front of the first other reader."""
    for reader in [
        n for n in graph.node if n.op_type in _SAME_VALUES and n.input[0] in node.output
    ]:
        _move(graph, reader)
    moved = onnx.NodeProto()
    moved.CopyFrom(node)
    graph.node.remove(node)
    readers = (i for i, n in enumerate(graph.node) if read_names([n]) & set(moved.output))
    graph.node.insert(next(readers, len(graph.node)), moved)
