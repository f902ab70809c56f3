"""Lint: what TensorRT asks of a Q/DQ model, checked without any runtime.

Errors are what TensorRT rejects, silently runs in float, or computes otherwise than the ONNX file
says; the rest are warnings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from onnxq.diagnostics import Diagnostic, warning
from onnxq.graph import Node
from onnxq.model import opset
from onnxq.verify.operands import (
    Fault,
    QdqModel,
    activation_fault,
    is_blocked,
    is_pair_node,
    no_pair,
    operands,
    unequal_scales,
    weight_fault,
)

Rule = Callable[[QdqModel], Iterator[Diagnostic]]
RULES: Final[list[Rule]] = []

_FP8 = (TensorProto.FLOAT8E4M3FN,)
_INT4 = (TensorProto.INT4,)
_QUANTIZED: Final = (TensorProto.INT8, *_FP8, *_INT4, TensorProto.FLOAT4E2M1)
_HALF: Final = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def lint(model: onnx.ModelProto) -> tuple[Diagnostic, ...]:
    """Check a Q/DQ model against the contract of TensorRT, in the order of the diagnostic codes.

    Works on any ONNX model, also on one without Q/DQ, and does not change it.
    """
    read = QdqModel(model)
    return tuple(found for rule in RULES for found in rule(read))


def rule(check: Rule) -> Rule:
    """Add a check to lint. A check yields the diagnostics of one code for the whole model."""
    RULES.append(check)
    return check


def _error(code: str, message: str, *, fix: str) -> Diagnostic:
    return Diagnostic(code=code, message=message, fix=fix)


@rule
def zero_points(model: QdqModel) -> Iterator[Diagnostic]:
    """OQ610: every zero point is int8 (or the 8- or 4-bit type it quantizes to) and all zeros."""
    seen: set[tuple[str, str]] = set()
    for node in model.pair_nodes:
        tensor = node.inputs[2] if len(node.inputs) > 2 else ""
        place = (tensor, node.inputs[1])  # a zero point fits one scale and not another
        fault = _zero_point_fault(model, node, tensor) if place not in seen else ""
        seen |= {place} if tensor else set()
        if fault:
            yield _error(
                "OQ610",
                f"{node.op} '{node.name}' {fault}",
                fix="give it an int8 zero point of zeros, as many as it has scales",
            )


def _zero_point_fault(model: QdqModel, node: Node, tensor: str) -> str:
    if not tensor:
        # A DequantizeLinear takes its type from its data; only here does uint8 become the type.
        untyped = node.op == "QuantizeLinear" and not node.attributes.get("output_dtype")
        return "has no zero point: ONNX reads that as uint8, TensorRT as int8" if untyped else ""
    dtype = model.graph.type(tensor).dtype
    if dtype == TensorProto.INT32:
        return ""  # a quantized bias, which has a rule of its own
    if dtype and dtype not in _QUANTIZED:
        return f"has a zero point of type {_type_name(dtype)}"
    value = model.value(tensor)
    if value is None:
        return "" if model.is_constant(tensor) else "has a zero point computed at run time"
    if np.any(value.astype(np.float64) != 0):
        return "has a zero point that is not 0"
    scale = model.value(node.inputs[1])
    if scale is not None and scale.size != value.size:
        return f"has {scale.size} scales and {value.size} zero points"
    return ""


def _type_name(dtype: int) -> str:
    return str(TensorProto.DataType.Name(dtype)).lower()


@rule
def scale_values(model: QdqModel) -> Iterator[Diagnostic]:
    """OQ611: every scale is a constant, and every value positive, finite and normal."""
    seen: set[str] = set()
    for node in model.pair_nodes:
        tensor = node.inputs[1]
        fault = _scale_fault(model, tensor) if tensor not in seen else ""
        seen.add(tensor)
        if fault:
            yield _error(
                "OQ611",
                f"scale '{tensor}' of {node.op} '{node.name}' {fault}",
                fix="use constant scales of normal size; a dead channel may have a scale of 1",
            )


def _scale_fault(model: QdqModel, tensor: str) -> str:
    scale = model.value(tensor)
    if scale is None:
        return "" if model.is_constant(tensor) else "is computed at run time"
    values, least = scale.astype(np.float64).reshape(-1), _least_normal(scale)
    bad = values[~(np.isfinite(values) & (values >= least))]
    if not bad.size:
        return ""
    count = f" and {bad.size - 1} other such values" if bad.size > 1 else ""
    return f"is {bad[0]:g}{count}"


def _least_normal(scale: NDArray[Any]) -> float:
    half = scale.dtype == np.float16
    return float(np.finfo(np.float16 if half else np.float32).tiny)


@rule
def scalar_scales(model: QdqModel) -> Iterator[Diagnostic]:
    """OQ612: a per-tensor scale has rank 0, not one dimension of size 1."""
    yield from _granularity(model, "OQ612", fix="make the scale and the zero point rank 0")


@rule
def weight_axes(model: QdqModel) -> Iterator[Diagnostic]:
    """OQ613: per-channel weights have one scale a channel, on the axis that their op needs."""
    yield from _granularity(
        model, "OQ613", fix="write one scale for each output channel, on the axis of that channel"
    )


@rule
def activation_granularity(model: QdqModel) -> Iterator[Diagnostic]:
    """OQ614: activations are quantized per tensor."""
    yield from _granularity(model, "OQ614", fix="use one scalar scale for the whole activation")


def _granularity(model: QdqModel, code: str, *, fix: str) -> Iterator[Diagnostic]:
    told: set[str] = set()
    for node, scale, fault in (*_activation_faults(model), *_weight_faults(model)):
        if fault is not None and fault.code == code and scale not in told:
            told.add(scale)
            yield _error(code, f"{node.op} '{node.name}': {fault.text}", fix=fix)


def _activation_faults(model: QdqModel) -> Iterator[tuple[Node, str, Fault | None]]:
    for node in model.pair_nodes:
        if not model.is_constant(node.inputs[0]):
            yield node, node.inputs[1], activation_fault(model, node)


def _weight_faults(model: QdqModel) -> Iterator[tuple[Node, str, Fault | None]]:
    for node in model.weighted_nodes:
        for slot, tensor in operands(model, node):
            if model.is_constant(tensor):
                yield node, tensor, weight_fault(model, node, slot)


@rule
def equal_scales(model: QdqModel) -> Iterator[Diagnostic]:
    """OQ615: a QuantizeLinear and the DequantizeLinear behind it have one scale."""
    for node in model.pair_nodes:
        quantizer = model.quantizer(node) if node.op == "DequantizeLinear" else None
        if quantizer is not None and unequal_scales(model, (quantizer, node)):
            yield warning(
                "OQ615",
                f"{quantizer.op} '{quantizer.name}' and {node.op} '{node.name}' have different "
                f"scales, which multiplies the tensor by their ratio",
                fix="give both the same scale",
            )


@rule
def float_bias(model: QdqModel) -> Iterator[Diagnostic]:
    """OQ616: no int32 tensor is dequantized, as some tools do with a bias."""
    for node in model.pair_nodes:
        if (
            node.op == "DequantizeLinear"
            and model.graph.type(node.inputs[0]).dtype == TensorProto.INT32
        ):
            yield _error(
                "OQ616",
                f"{node.op} '{node.name}' reads the int32 tensor '{node.inputs[0]}', "
                f"which TensorRT rejects",
                fix="leave the bias in float (in onnxruntime's quantizer: QuantizeBias=False)",
            )


@rule
def whole_operands(model: QdqModel) -> Iterator[Diagnostic]:
    """OQ617: a weighted op has pairs on all of its operands or on none."""
    for node in model.weighted_nodes:
        behind = [(t, *model.dequantizers(t)) for _, t in operands(model, node)]
        bare = [(t, missing[0]) for t, _, missing in behind if missing]
        if bare and len(bare) < len(behind):
            yield _error(
                "OQ617",
                f"{node.op} '{node.name}': {no_pair(model, *bare[0])}, its other input has",
                fix="quantize both, or neither if the op is to stay in float",
            )


@rule
def quantized_constants(model: QdqModel) -> Iterator[Diagnostic]:
    """OQ618: an int8 constant is read by a DequantizeLinear and nothing else."""
    for node in model.graph.nodes:
        for tensor in node.inputs:
            if _is_stored_int8(model, tensor) and not _may_read_int8(model, node):
                yield _error(
                    "OQ618",
                    f"{node.op} '{node.name}' reads the int8 constant '{tensor}', "
                    f"which TensorRT accepts only in front of a DequantizeLinear",
                    fix="put the DequantizeLinear directly behind the constant",
                )


def _is_stored_int8(model: QdqModel, tensor: str) -> bool:
    return model.graph.is_constant(tensor) and model.graph.type(tensor).dtype == TensorProto.INT8


def _may_read_int8(model: QdqModel, node: Node) -> bool:
    if is_pair_node(node):
        return True
    readers = [e for out in node.outputs for e in model.graph.consumers(out)]
    zero_point = readers and all(
        e.slot == 2 and is_pair_node(model.graph.by_name[e.node]) for e in readers
    )
    return node.type == "Identity" and bool(zero_point)


@rule
def node_names(model: QdqModel) -> Iterator[Diagnostic]:
    """OQ619: every node has a name of its own, so that layer reports can be read."""
    uses = Counter(n.name for n in model.proto.graph.node if n.op_type != "Constant")
    unnamed = uses.pop("", 0)
    twice = [name for name, count in uses.items() if count > 1]
    said = [f"{unnamed} nodes have no name"] if unnamed else []
    said += [f"{len(twice)} names belong to several nodes, such as '{twice[0]}'"] if twice else []
    if said:
        yield warning("OQ619", " and ".join(said), fix="give every node a name of its own")


@rule
def any_pair(model: QdqModel) -> Iterator[Diagnostic]:
    """OQ621: there is something quantized to check."""
    if not model.pair_nodes:
        yield _error(
            "OQ621",
            "the model has no QuantizeLinear or DequantizeLinear",
            fix="give the Q/DQ model, after the float model",
        )


@rule
def opset_versions(model: QdqModel) -> Iterator[Diagnostic]:
    """OQ620: the opset has what the Q/DQ nodes use."""
    have = opset(model.proto)
    told: set[str] = set()
    for node in model.pair_nodes:
        version, what = _needed_opset(model, node)
        if version > have and what not in told:
            told.add(what)
            yield _error(
                "OQ620",
                f"{node.op} '{node.name}' uses {what}, which needs opset {version}; "
                f"the model has {have}",
                fix=f"export the model with opset {version} or newer",
            )


def _needed_opset(model: QdqModel, node: Node) -> tuple[int, str]:
    data = {model.graph.type(t).dtype for t in (*node.inputs[::2], *node.outputs)}
    scale = model.graph.type(node.inputs[1]).dtype
    uses = (
        (21, "block quantization", is_blocked(node)),
        (21, "INT4", bool(data.intersection(_INT4))),
        (19, "FP8", bool(data.intersection(_FP8))),
        (19, "16-bit scales", scale in _HALF),
        (
            13,
            "a scale for each channel",
            "axis" in node.attributes or bool(model.scale_shape(node)),
        ),
        (10, "quantization", True),
    )
    return next((version, what) for version, what, used in uses if used)
