"""Symmetric quantization of arrays, bit for bit as the inserted Q/DQ nodes compute it.

ONNX QuantizeLinear divides by the scale. torch's fake_quantize functions multiply by the float32
reciprocal of the scale instead, so a value next to a tie can land one step away;
`by_reciprocal=True` follows torch. Everything is computed in float32; the zero point is 0.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import ml_dtypes
import numpy as np
import numpy.typing as npt

from onnxq.descriptor import SMALLEST_AMAX as SMALLEST_AMAX
from onnxq.formats import FORMATS, DType, Format

_T = TypeVar("_T", bound=np.generic)
Float32Array = npt.NDArray[np.float32]

INT8_MAX: Final = int(FORMATS["int8"].largest)
_BLOCK: Final = 2**18  # values quantized at once, so that what is between fits a cache


def scale_of(amax: npt.ArrayLike, dtype: DType = "int8") -> Float32Array:
    """Return amax / 127 in float32, in the shape of `amax`; 1 where amax is 0 (<= 2**-24).

    The divisor is 448 for fp8e4m3 and 7 for int4.

    Raises ValueError when an amax is negative, NaN or infinite.
    """
    limit = np.asarray(amax, dtype=np.float32)
    if not np.all(np.isfinite(limit) & (limit >= 0)):
        raise ValueError(f"amax must be finite and not negative, not {limit}")
    scale = limit / np.float32(FORMATS[dtype].largest)
    return np.where(_is_zero(limit), np.float32(1), scale)


def representable(scale: npt.NDArray[Any], dtype: np.dtype[Any]) -> Float32Array:
    """Round to a 16-bit float type: to nearest, below the normal range up; saturate at the top."""
    limits: Any = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    least = np.float32(limits.smallest_subnormal)
    bounded = np.minimum(scale, np.float32(limits.max))
    nearest = bounded.astype(dtype).astype(np.float32)
    small = bounded < np.float32(limits.smallest_normal)
    steps = np.ceil(np.where(small, bounded, 0) / least)
    return np.asarray(np.where(small, steps * least, nearest), np.float32)


def quantize(
    x: npt.ArrayLike,
    scale: npt.ArrayLike,
    *,
    axis: int | None = None,
    narrow_range: bool = False,
    by_reciprocal: bool = False,
    dtype: DType = "int8",
    block_size: int | None = None,
) -> npt.NDArray[Any]:
    """Quantize: x / scale, rounded half to even, saturated to the range of the type (-128..127).

    `scale` is a scalar; with `axis` it may be 1-D of length x.shape[axis]; with `block_size` it has
    the shape of x, but along `axis` one value for every `block_size` values. With `narrow_range`
    values saturate at -127, in int4 at -7. NaN becomes the lowest integer, as in onnxruntime and
    torch; fp8e4m3 has a NaN. Raises ValueError when the scale's shape does not fit.
    """
    array = np.asarray(x)
    values, step = _aligned(array, np.asarray(scale, dtype=np.float32), axis, block_size)
    how = (FORMATS[dtype], narrow_range, by_reciprocal)
    rows = max(1, _BLOCK * len(values) // max(1, values.size)) if values.ndim else 0
    if not 0 < rows < len(values):
        return _quantized(values, step, *how).reshape(array.shape)
    quantized = np.empty(values.shape, FORMATS[dtype].dtype)
    for first in range(0, len(values), rows):
        block = slice(first, first + rows)
        steps = step[block] if step.ndim and len(step) > 1 else step
        quantized[block] = _quantized(values[block], steps, *how)
    return quantized.reshape(array.shape)


def _quantized(
    x: npt.NDArray[Any], step: Float32Array, to: Format, narrow_range: bool, by_reciprocal: bool
) -> npt.NDArray[Any]:
    values = np.asarray(x, dtype=np.float32)
    lowest = -to.largest if narrow_range else to.lowest
    with np.errstate(all="ignore"):  # huge values overflow to inf, which saturates
        steps = np.asarray(values * (np.float32(1) / step) if by_reciprocal else values / step)
    if to.is_integer:
        np.copyto(steps, np.float32(lowest), where=np.isnan(steps))
        steps = np.rint(steps)
    return np.asarray(np.clip(steps, lowest, to.largest), to.dtype)  # rounds half to even


def dequantize(
    q: npt.NDArray[Any],
    scale: npt.ArrayLike,
    *,
    axis: int | None = None,
    block_size: int | None = None,
) -> Float32Array:
    """Return q * scale in float32; `scale` as in `quantize`."""
    values, step = _aligned(q, np.asarray(scale, dtype=np.float32), axis, block_size)
    with np.errstate(over="ignore"):
        return np.asarray(values.astype(np.float32) * step).reshape(q.shape)


def in_blocks(x: npt.NDArray[_T], axis: int, block_size: int) -> npt.NDArray[_T]:
    """View x with one more axis after `axis`, which has the values of a block.

    Raises ValueError when x.shape[axis] is not a multiple of `block_size`.
    """
    if not -x.ndim <= axis < x.ndim or x.shape[axis] % block_size:
        raise ValueError(f"axis {axis} of shape {x.shape} has no blocks of {block_size}")
    axis %= x.ndim
    blocks = (x.shape[axis] // block_size, block_size)
    return x.reshape(*x.shape[:axis], *blocks, *x.shape[axis + 1 :])


def _aligned(
    x: npt.NDArray[_T], scale: Float32Array, axis: int | None, block_size: int | None
) -> tuple[npt.NDArray[_T], Float32Array]:
    """x and scale in shapes that broadcast."""
    if block_size is None:
        return x, _along(scale, x, axis)
    if axis is None:
        raise ValueError("blocks need an axis")
    values = in_blocks(x, axis, block_size)
    after = axis % x.ndim + 1
    if scale.shape != values.shape[:after] + values.shape[after + 1 :]:
        raise ValueError(
            f"scales of shape {scale.shape} do not fit blocks of {block_size} in shape {x.shape}"
        )
    return values, np.expand_dims(scale, after)


def tensor_quant(
    x: npt.ArrayLike,
    amax: npt.ArrayLike,
    *,
    axis: int | None = None,
    narrow_range: bool = False,
    by_reciprocal: bool = False,
) -> tuple[npt.NDArray[np.int8], Float32Array]:
    """Quantize x for the range [-amax, amax]; return the int8 array and the float32 scale.

    `amax` is a scalar, or 1-D of length x.shape[axis] when `axis` is given; the scale has its
    shape. Where amax is 0 (<= 2**-24) the output is 0 and the scale 1, as in pytorch-quantization.
    Raises ValueError for a bad amax or shape.
    """
    scale = scale_of(amax)
    q = quantize(x, scale, axis=axis, narrow_range=narrow_range, by_reciprocal=by_reciprocal)
    zero = _along(_is_zero(np.asarray(amax, dtype=np.float32)), q, axis)
    return np.where(zero, np.int8(0), q), scale


def fake_tensor_quant(
    x: npt.ArrayLike,
    amax: npt.ArrayLike,
    *,
    axis: int | None = None,
    narrow_range: bool = False,
    by_reciprocal: bool = False,
) -> Float32Array:
    """Quantize and dequantize x, as a Q/DQ pair with scale amax / 127 does.

    Arguments and errors as in `tensor_quant`; the result is float32 in the shape of x.
    """
    q, scale = tensor_quant(
        x, amax, axis=axis, narrow_range=narrow_range, by_reciprocal=by_reciprocal
    )
    return dequantize(q, scale, axis=axis)


def _is_zero(amax: Float32Array) -> npt.NDArray[np.bool_]:
    return np.asarray(amax <= SMALLEST_AMAX)


def _along(values: npt.NDArray[_T], x: npt.NDArray[Any], axis: int | None) -> npt.NDArray[_T]:
    """Shape a scalar, or one value a channel, so that it broadcasts along `axis` of x."""
    if axis is None:
        if values.ndim:
            raise ValueError(f"one value a channel (shape {values.shape}) needs an axis")
        return values
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis {axis} is out of range for shape {x.shape}")
    if values.shape not in ((), (x.shape[axis],)):
        raise ValueError(f"shape {values.shape} does not fit axis {axis} of shape {x.shape}")
    shape = [1] * x.ndim
    shape[axis] = -1
    return values.reshape(shape)
