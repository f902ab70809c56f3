"""Other scales and zero points for a pair, from the range that it has, without calibration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from onnxq.linting.edit import Edit, Repair
from onnxq.linting.granularity import Fault, faulty_pairs
from onnxq.linting.qdq import QdqModel, axis_of, is_blocked
from onnxq.model.graph import Node, Shape
from onnxq.model.pairs import DEQUANTIZE, QUANTIZE, is_pair_node
from onnxq.quantization import quantize, scale_of

_INTEGERS: Final = ("int8", "uint8", "int16", "uint16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """One quantized tensor: its Q, unless it is stored, its DQs, and their scale and zero point.

    `axis` is that of the scales, None for one scale. `shape` is that of the tensor.
    """

    quantizer: Node | None
    dequantizers: tuple[Node, ...]
    scale: NDArray[Any]
    zero_point: NDArray[Any]
    axis: int | None
    shape: Shape | None

    @property
    def fits(self) -> bool:
        """True when scale and zero points belong to each other and to the tensor's shape."""
        axis, scales = self.axis, self.scale.size
        if self.scale.ndim > 1 or self.zero_point.size not in (1, scales):
            return False
        if scales == 1 or axis is None or self.shape is None:
            return True
        rank = len(self.shape)
        return -rank <= axis < rank and self.shape[axis] in (scales, None)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The Q, if there is one, and the DQs."""
        return (*([self.quantizer] if self.quantizer else ()), *self.dequantizers)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the nodes."""
        return tuple(node.name for node in self.nodes)


def quantized_tensors(model: QdqModel) -> Iterator[Quantized]:
    """Every quantized tensor whose parameters are known and which only pairs read."""
    for node, name in model.first_by(model.quantized_side):
        tensor = _quantized(model, node, name)
        if tensor is not None:
            yield tensor


def faulty_tensors(model: QdqModel, code: str) -> Iterator[tuple[Quantized, Fault]]:
    """The quantized tensors whose scale has a fault of this code, and that fault."""
    faults = {fault.pair_node: fault for _, fault in faulty_pairs(model) if fault.code == code}
    for tensor in quantized_tensors(model):
        fault = next((faults[name] for name in tensor.names if name in faults), None)
        if fault is not None:
            yield tensor, fault


def _quantized(model: QdqModel, node: Node, tensor: str) -> Quantized | None:
    quantizer = node if node.op == QUANTIZE else model.quantizer(node)
    readers = model.readers(tensor)
    whole = readers and all(is_pair_node(n, DEQUANTIZE) and n.inputs[0] == tensor for n in readers)
    scale, zero_point = model.value(node.inputs[1]), _zero_point(model, node)
    if not whole or tensor in model.graph.given_out or is_blocked(node):
        return None
    if scale is None or zero_point is None or str(zero_point.dtype) not in _INTEGERS:
        return None
    if quantizer is None and model.value(tensor) is None:
        return None
    return Quantized(
        quantizer=quantizer,
        dequantizers=readers,
        scale=scale,
        zero_point=zero_point,
        axis=axis_of(node) if scale.ndim else None,
        shape=model.graph.type(node.inputs[0]).shape,
    )


def _zero_point(model: QdqModel, node: Node) -> NDArray[Any] | None:
    """The zero point; if none is written it is 0, of the stored type or of uint8 for a Q."""
    if written := model.zero_point(node):
        return model.value(written)
    dtype = model.quantized_type(node) or TensorProto.UINT8
    return np.zeros((), onnx.helper.tensor_dtype_to_np_dtype(dtype))


def make_symmetric(model: QdqModel, edit: Edit, tensor: Quantized, code: str) -> Repair | None:
    """Give a quantized tensor int8 and a zero point of 0, with a scale for the range that it had.

    An asymmetric range loses up to half of its steps; a 16-bit range loses more. None where the
    file does not say a range.
    """
    if not tensor.fits:
        return None
    if tensor.quantizer is None or model.is_constant(tensor.quantizer.inputs[0]):
        return _stored(model, edit, tensor, code)
    limits = np.iinfo(tensor.zero_point.dtype)
    zero, step = tensor.zero_point.astype(np.float64), tensor.scale.astype(np.float64)
    amax = step * np.maximum(limits.max - zero, zero - limits.min)
    scale, node = _scale(amax, tensor), tensor.quantizer
    if scale is None:
        return None
    text = f"{node.op} '{node.name}' has int8 around 0, for the same range"
    if np.all(zero == limits.min) and model.may_be_negative(node.inputs[0]):
        # Some tools leave a Relu out because such a range cuts off what is negative.
        edit.relu(node.name)
        text += ", and a Relu in front, as that range began at 0"
    edit.parameters(tensor.names, scale, np.zeros(scale.shape, np.int8), tensor.axis)
    return Repair(code=code, node=node.name, text=text, exact=False)


def _stored(model: QdqModel, edit: Edit, tensor: Quantized, code: str) -> Repair | None:
    """Quantize the known values of a constant again."""
    first = tensor.dequantizers[0]
    if tensor.quantizer is not None:
        values = model.value(tensor.quantizer.inputs[0])
        if values is None:
            return None
        return requantized(edit, tensor, values, tensor.axis, code)
    stored = model.value(first.inputs[0])
    if stored is None:
        return None
    shifted = stored.astype(np.int64) - along(
        tensor.zero_point.astype(np.int64), stored, tensor.axis
    )
    if shifted.min(initial=0) >= -128 and shifted.max(initial=0) <= 127:
        zero = np.zeros(tensor.scale.shape, np.int8)
        name = edit.constant(first.inputs[0], shifted.astype(np.int8))
        edit.parameters(tensor.names, tensor.scale, zero, tensor.axis)
        for node in tensor.dequantizers:
            edit.rewire(node.name, 0, name)
        text = f"{first.op} '{first.name}' reads the same values as int8 around 0"
        return Repair(code=code, node=first.name, text=text, exact=True)
    values = shifted * along(tensor.scale.astype(np.float64), stored, tensor.axis)
    return requantized(edit, tensor, values, tensor.axis, code)


def dequantized(model: QdqModel, tensor: Quantized) -> NDArray[np.float32] | None:
    """The float values of a constant, as the file has or computes them; None if it does not say."""
    if tensor.quantizer is not None:
        values = model.value(tensor.quantizer.inputs[0])
        return None if values is None else values.astype(np.float32)
    stored = model.value(tensor.dequantizers[0].inputs[0])
    if stored is None or not tensor.fits:
        return None
    zero = along(tensor.zero_point.astype(np.float32), stored, tensor.axis)
    scale = along(tensor.scale.astype(np.float32), stored, tensor.axis)
    return np.asarray((stored.astype(np.float32) - zero) * scale)


def requantized(
    edit: Edit, tensor: Quantized, values: NDArray[Any], axis: int | None, code: str
) -> Repair | None:
    """Store the values of a constant as int8 with new scales, from their own range.

    None when the values are not finite.
    """
    others = (
        None if axis is None else tuple(i for i in range(values.ndim) if i != axis % values.ndim)
    )
    amax = np.abs(values).max(axis=others, initial=0)
    scale, first = _scale(amax, tensor), tensor.dequantizers[0]
    if scale is None:
        return None
    edit.parameters(tensor.names, scale, np.zeros(scale.shape, np.int8), axis)
    if tensor.quantizer is None:
        stored = edit.constant(first.inputs[0], quantize(values, scale, axis=axis))
        for node in tensor.dequantizers:
            edit.rewire(node.name, 0, stored)
    written = "per tensor" if axis is None else f"on axis {axis}"
    text = f"the constant of {first.op} '{first.name}' is quantized anew, {written}"
    return Repair(code=code, node=first.name, text=text, exact=False)


def _scale(amax: NDArray[Any], tensor: Quantized) -> NDArray[Any] | None:
    """The scales for these ranges, in the type that the tensor's have; None without a range.

    The 16-bit range of a mask that holds the lowest float32 ends above the largest: it saturates.
    """
    if not np.all(np.isfinite(amax) & (amax >= 0)):
        return None
    scale = scale_of(np.minimum(amax, np.finfo(np.float32).max))
    largest = ml_dtypes.finfo(tensor.scale.dtype).max  # type: ignore[no-untyped-call]
    return np.minimum(scale, np.float32(largest)).astype(tensor.scale.dtype)


def flattened(tensor: Quantized) -> Quantized | None:
    """A tensor with the scales of one axis, which may be written in the rank of its values.

    None where scales differ along several axes, or their number is not that of the axis.
    """
    if tensor.scale.ndim < 2:
        return tensor
    (axis, *others) = [i for i, size in enumerate(tensor.scale.shape) if size > 1] or [0]
    scale, zero = tensor.scale.reshape(-1), tensor.zero_point.reshape(-1)
    if others or zero.size not in (1, scale.size):
        return None
    flat = replace(tensor, scale=scale, zero_point=np.broadcast_to(zero, scale.shape), axis=axis)
    return flat if flat.fits and tensor.scale.ndim == len(tensor.shape or ()) else None


def along(values: NDArray[Any], x: NDArray[Any], axis: int | None) -> NDArray[Any]:
    """Shape one value a channel so that it broadcasts along the axis of x."""
    if axis is None or not values.ndim or values.size == 1:
        return values.reshape(()) if values.size == 1 else values
    return values.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
