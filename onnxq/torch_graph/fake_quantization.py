"""Q/DQ pairs that torch differentiates, with the logarithm of the scale as a parameter.

Rounding passes the gradient on, and saturation stops it (straight-through, Bengio et al., 2013,
arXiv:1308.3432). The gradient of a scale is that of LSQ (Esser et al., 2020, arXiv:1902.08153),
taken for its logarithm as in TQT (Jain et al., 2020, arXiv:1903.08066), so that one learning rate
suits scales of every size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from onnxq.formats import FORMATS
from onnxq.planning.plan import Pair


def fake_quantize(pair: Pair, x: Tensor, log_scale: Tensor) -> Tensor:
    """Quantize and dequantize x as the pair does, in float32, with scale exp(log_scale).

    `log_scale` has one value, or one a channel, or one a block of a weight. It divides by
    multiplying with the reciprocal, so that a value next to a tie may land one step from where
    QuantizeLinear puts it.
    """
    to = FORMATS[pair.descriptor.dtype]
    lowest = -to.largest if pair.descriptor.narrow_range else to.lowest
    result: Tensor
    if to.is_integer and pair.descriptor.block_size is None:
        how = (pair.axis, int(lowest), int(to.largest))
        result = _Integers.apply(x, log_scale, *how)  # type: ignore[no-untyped-call]
        return result
    scale = spread(pair, log_scale, x).exp()
    steps = x / scale
    if to.is_integer:
        return _straight(steps, steps.round()).clamp(lowest, to.largest) * scale
    steps = steps.clamp(lowest, to.largest)
    return _straight(steps, steps.to(torch.float8_e4m3fn).to(x.dtype)) * scale


def _straight(steps: Tensor, rounded: Tensor) -> Tensor:
    """The rounded values with the gradient of the others."""
    return steps + (rounded - steps).detach()


def spread(pair: Pair, scale: Tensor, x: Tensor) -> Tensor:
    """Scales, or their logarithms, in a shape that broadcasts to x."""
    if pair.axis is None:
        return scale.reshape(())
    if (size := pair.descriptor.block_size) is not None:
        return scale.repeat_interleave(size, pair.axis)
    return scale.reshape([-1 if a == pair.axis % x.ndim else 1 for a in range(x.ndim)])


class _Integers(torch.autograd.Function):
    """Integers with one scale, or one a channel: torch rounds and saturates in one pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, log_scale: Tensor, axis: int | None, *limits: int) -> Tensor:
        scale = log_scale.detach().exp()
        quantized: Tensor
        if axis is None:
            quantized, inside = torch.ops.aten.fake_quantize_per_tensor_affine_cachemask(
                x, scale.item(), 0, *limits
            )
        else:
            zeros = torch.zeros(len(scale), dtype=torch.int32)
            quantized, inside = torch.ops.aten.fake_quantize_per_channel_affine_cachemask(
                x, scale, zeros, axis, *limits
            )
        ctx.save_for_backward(x, quantized, inside)
        ctx.axis = axis
        return quantized

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Of s * n the derivative by log(s) is s * (n - x / s) inside, and s * n outside."""
        x, quantized, inside = ctx.saved_tensors
        passed = gradient * inside
        by_log = None
        if ctx.needs_input_grad[1]:
            by_log = _sums(gradient, quantized, ctx.axis) - _sums(passed, x, ctx.axis)
        return passed, by_log, None, None, None


def _sums(a: Tensor, b: Tensor, axis: int | None) -> Tensor:
    """The sum of products: all, or one a channel."""
    if axis is not None:
        others = [i for i in range(a.ndim) if i != axis % a.ndim]
        return (a * b).sum(others)
    if a.stride() == b.stride() and a.is_contiguous(memory_format=torch.channels_last):
        a, b = a.permute(0, 2, 3, 1), b.permute(0, 2, 3, 1)
    return torch.dot(a.reshape(-1), b.reshape(-1))
