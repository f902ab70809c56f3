"""Which nodes are a QuantizeLinear or a DequantizeLinear: the one definition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import onnx

from onnxq.model.ops import type_of

QUANTIZE: Final = "QuantizeLinear"
DEQUANTIZE: Final = "DequantizeLinear"
PAIR_OPS: Final = frozenset({QUANTIZE, DEQUANTIZE})
# onnxruntime has its own of both for types that ONNX got later; TensorRT reads them alike.
PAIR_TYPES: Final = PAIR_OPS | {f"com.microsoft::{op}" for op in PAIR_OPS}


class _Node(Protocol):
    """A node that has its operator and inputs, such as `graph.Node`."""

    @property
    def type(self) -> str: ...
    @property
    def op(self) -> str: ...
    @property
    def inputs(self) -> Sequence[str]: ...


def is_pair_node(node: _Node, *ops: str) -> bool:
    """True for a QuantizeLinear or DequantizeLinear, or only for those named by `ops`.

    It is of ONNX or of onnxruntime, and has data and a scale.
    """
    return node.type in PAIR_TYPES and len(node.inputs) > 1 and (not ops or node.op in ops)


def is_pair_op(proto: onnx.NodeProto, *ops: str) -> bool:
    """`is_pair_node` of a NodeProto."""
    op = proto.op_type
    return (
        op in PAIR_OPS
        and type_of(proto) in PAIR_TYPES
        and len(proto.input) > 1
        and (not ops or op in ops)
    )
