"""Quantization that torch differentiates.

Rounding passes the gradient on, and saturation stops it (straight-through, Bengio et al., 2013,
arXiv:1308.3432). The gradient of a scale is that of LSQ (Esser et al., 2020, arXiv:1902.08153);
for its logarithm, as in TQT (Jain et al., 2020, arXiv:1903.08066), one learning rate suits scales
of every size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from onnxq.formats import FORMATS
from onnxq.planning.plan import Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The values that a quantized tensor can have, in steps of its scale.

    With a zero point `lowest` and `largest` are less by it. There is one scale; or one a channel of
    `axis`; or with `block_size` one for so many values along `axis`.
    """

    lowest: float
    largest: float
    axis: int | None = None
    block_size: int | None = None
    is_integer: bool = True

    @property
    def bound(self) -> float:
        """How many steps amax has: those to the farther end, of -128 and 127 to the latter."""
        return max(self.largest, -self.lowest - 1)


def grid_of(pair: Pair) -> Grid:
    """The grid of a pair of a plan."""
    to, descriptor = FORMATS[pair.descriptor.dtype], pair.descriptor
    return Grid(
        lowest=-to.largest if descriptor.narrow_range else to.lowest,
        largest=to.largest,
        axis=pair.axis,
        block_size=descriptor.block_size,
        is_integer=to.is_integer,
    )


def fake_quantize(x: Tensor, scale: Tensor, grid: Grid) -> Tensor:
    """Quantize and dequantize x in float32.

    It divides by multiplying with the reciprocal, so that a value next to a tie may land one step
    from where QuantizeLinear puts it.
    """
    result: Tensor
    if grid.is_integer and grid.block_size is None:
        result = _Integers.apply(x, scale, grid)  # type: ignore[no-untyped-call]
        return result
    scale = spread(grid, scale, x)
    steps = x / scale
    if grid.is_integer:
        return _straight(steps, steps.round()).clamp(grid.lowest, grid.largest) * scale
    steps = steps.clamp(grid.lowest, grid.largest)
    return _straight(steps, steps.to(torch.float8_e4m3fn).to(x.dtype)) * scale


def _straight(steps: Tensor, rounded: Tensor) -> Tensor:
    """The rounded values with the gradient of the others."""
    return steps + (rounded - steps).detach()


def spread(grid: Grid, scale: Tensor, x: Tensor) -> Tensor:
    """Scales in a shape that broadcasts to x."""
    if grid.axis is None:
        return scale.reshape(())
    if grid.block_size is not None:
        whole = scale.repeat_interleave(grid.block_size, grid.axis)
        return whole.narrow(grid.axis, 0, x.shape[grid.axis])  # the last block may be short
    return scale.reshape([-1 if a == grid.axis % x.ndim else 1 for a in range(x.ndim)])


def largest_magnitudes(x: Tensor, grid: Grid) -> Tensor:
    """The largest magnitude of each channel, or of each block, of x."""
    assert grid.axis is not None
    axis, magnitudes = grid.axis % x.ndim, x.abs()
    if grid.block_size is None:
        return magnitudes.amax([a for a in range(x.ndim) if a != axis])
    return torch.stack([b.amax(axis) for b in torch.split(magnitudes, grid.block_size, axis)], axis)


class _Integers(torch.autograd.Function):
    """Integers with one scale, or one a channel: torch rounds and saturates in one pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, grid: Grid) -> Tensor:
        limits = int(grid.lowest), int(grid.largest)
        quantized: Tensor
        if grid.axis is None:
            quantized, inside = torch.ops.aten.fake_quantize_per_tensor_affine_cachemask(
                x, scale.item(), 0, *limits
            )
        else:
            zeros = torch.zeros(len(scale), dtype=torch.int32, device=scale.device)
            quantized, inside = torch.ops.aten.fake_quantize_per_channel_affine_cachemask(
                x, scale, zeros, grid.axis % x.ndim, *limits
            )
        ctx.save_for_backward(x, scale, quantized, inside)
        ctx.axis = grid.axis
        return quantized

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Of s * n the derivative by s is n - x / s inside, and n outside."""
        x, scale, quantized, inside = ctx.saved_tensors
        passed = gradient * inside
        by_scale = None
        if ctx.needs_input_grad[1]:
            by_log = _sums(gradient, quantized, ctx.axis) - _sums(passed, x, ctx.axis)
            by_scale = by_log.reshape(scale.shape) / scale
        return passed, by_scale, None


def _sums(a: Tensor, b: Tensor, axis: int | None) -> Tensor:
    """The sum of products: all, or one a channel."""
    if axis is not None:
        others = [i for i in range(a.ndim) if i != axis % a.ndim]
        return (a * b).sum(others)
    if a.stride() == b.stride() and a.is_contiguous(memory_format=torch.channels_last):
        a, b = a.permute(0, 2, 3, 1), b.permute(0, 2, 3, 1)
    return torch.dot(a.reshape(-1), b.reshape(-1))
