"""Rows of convolutions and pools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from onnxq.model.graph import Node
from onnxq.model.node_inputs import attribute
from onnxq.torch_graph.row import Row, one_output

_CONVOLVE: Final[tuple[Callable[..., Tensor], ...]] = (
    functional.conv1d,
    functional.conv2d,
    functional.conv3d,
)
_TRANSPOSED: Final[tuple[Callable[..., Tensor], ...]] = (
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)
_MAX: Final[tuple[Callable[..., Any], ...]] = (
    functional.max_pool1d,
    functional.max_pool2d,
    functional.max_pool3d,
)
_AVERAGE: Final[tuple[Callable[..., Tensor], ...]] = (
    functional.avg_pool1d,
    functional.avg_pool2d,
    functional.avg_pool3d,
)


class _Windows:
    """Strides, dilations and pads of a node over some spatial sizes, one value an axis."""

    def __init__(self, node: Node, sizes: tuple[int, ...], kernel: tuple[int, ...]) -> None:
        ones = [1] * len(sizes)
        self.kernel = kernel
        self.strides = list(attribute(node, "strides") or ones)
        self.dilations = list(attribute(node, "dilations") or ones)
        pads = list(attribute(node, "pads") or [0] * 2 * len(sizes))
        self.before, self.after = pads[: len(sizes)], pads[len(sizes) :]
        how = attribute(node, "auto_pad") or b"NOTSET"
        if how in (b"SAME_UPPER", b"SAME_LOWER"):
            self._same(sizes, upper=how == b"SAME_UPPER")
        elif how == b"VALID":
            self.before = self.after = [0] * len(sizes)

    def _same(self, sizes: tuple[int, ...], *, upper: bool) -> None:
        """Pad so that there are ceil(size / stride) windows."""
        steps = zip(sizes, self.kernel, self.strides, self.dilations, strict=True)
        total = [max(0, (ceil(n / s) - 1) * s + (k - 1) * d + 1 - n) for n, k, s, d in steps]
        less, more = [t // 2 for t in total], [t - t // 2 for t in total]
        self.before, self.after = (less, more) if upper else (more, less)

    @property
    def ends(self) -> list[int]:
        """The pads as torch.nn.functional.pad takes them."""
        both = zip(reversed(self.before), reversed(self.after), strict=True)
        return [amount for pair in both for amount in pair]


def _padded(x: Tensor, windows: _Windows, value: float = 0.0) -> tuple[Tensor, list[int]]:
    """The input, and the pads that torch can add itself: those alike at both ends."""
    if windows.before == windows.after:
        return x, windows.before
    return functional.pad(x, windows.ends, value=value), [0] * len(windows.before)


def _conv(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    windows = _Windows(node, x.shape[2:], weight.shape[2:])
    x, pads = _padded(x, windows)
    convolve = _CONVOLVE[x.ndim - 3]
    how = (windows.strides, pads, windows.dilations, attribute(node, "group"))
    return convolve(x, weight, bias, *how)


def _conv_transpose(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """All products, cut by the pads; sizes as in the text of ONNX's ConvTranspose."""
    windows = _Windows(node, x.shape[2:], weight.shape[2:])
    rank = x.ndim - 2
    extra = list(attribute(node, "output_padding") or [0] * rank)
    group, how = attribute(node, "group"), attribute(node, "auto_pad") or b"NOTSET"
    product = _TRANSPOSED[rank - 1](
        x, weight, None, windows.strides, 0, 0, group, windows.dilations
    )
    wanted = list(attribute(node, "output_shape") or [])[-rank:]
    if how.startswith(b"SAME") and not wanted:
        wanted = [n * s for n, s in zip(x.shape[2:], windows.strides, strict=True)]
    if wanted:
        full = [n + e for n, e in zip(product.shape[2:], extra, strict=True)]
        total = [max(0, n - w) for n, w in zip(full, wanted, strict=True)]
        halves = [t // 2 for t in total]
        rest = [t - h for t, h in zip(total, halves, strict=True)]
        windows.before, windows.after = (halves, rest) if how != b"SAME_LOWER" else (rest, halves)
        extra = [e + max(0, w - n) for e, w, n in zip(extra, wanted, full, strict=True)]
    both = zip(reversed(windows.before), reversed(windows.after), reversed(extra), strict=True)
    ends = [n for before, after, more in both for n in (-before, more - after)]
    product = functional.pad(product, ends) if any(ends) else product
    return product if bias is None else product + bias.reshape(-1, *[1] * rank)


def _max_pool(node: Node, x: Tensor) -> Tensor:
    windows = _Windows(node, x.shape[2:], tuple(attribute(node, "kernel_shape")))
    rank, kernel = x.ndim - 2, windows.kernel
    is_wide = any(2 * p > k for p, k in zip(windows.before, kernel, strict=True))
    if is_wide or windows.before != windows.after:
        x, pads = functional.pad(x, windows.ends, value=-torch.inf), [0] * rank
    else:
        pads = windows.before
    ceil_mode = bool(attribute(node, "ceil_mode"))
    pooled: Tensor = _MAX[rank - 1](x, kernel, windows.strides, pads, windows.dilations, ceil_mode)
    return pooled


def _average_pool(node: Node, x: Tensor) -> Tensor:
    windows = _Windows(node, x.shape[2:], tuple(attribute(node, "kernel_shape")))
    rank, ceil_mode = x.ndim - 2, bool(attribute(node, "ceil_mode"))
    pool, counts_pads = _AVERAGE[rank - 1], bool(attribute(node, "count_include_pad"))
    how = (windows.kernel, windows.strides)
    is_wide = any(2 * p > k for p, k in zip(windows.before, windows.kernel, strict=True))
    if windows.before == windows.after and not is_wide:
        return pool(x, *how, windows.before, ceil_mode, counts_pads)
    average = pool(functional.pad(x, windows.ends), *how, 0, ceil_mode)
    if counts_pads:
        return average
    share = pool(functional.pad(torch.ones_like(x[:1, :1]), windows.ends), *how, 0, ceil_mode)
    return average / share


def _dilated(node: Node) -> str:
    dilations = attribute(node, "dilations") or ()
    return "dilations" if any(d != 1 for d in dilations) else ""


def _global(function: Callable[[Tensor, tuple[int, ...]], Tensor]) -> Row:
    def compute(node: Node, x: Tensor) -> Tensor:
        return function(x, tuple(range(2, x.ndim))).reshape(*x.shape[:2], *[1] * (x.ndim - 2))

    return Row(compute)


ROWS: Final[Mapping[str, Row]] = {
    "AveragePool": Row(_average_pool, _dilated),
    "Conv": Row(_conv),
    "ConvTranspose": Row(_conv_transpose),
    "GlobalAveragePool": _global(lambda x, axes: x.mean(axes)),
    "GlobalMaxPool": _global(lambda x, axes: x.amax(axes)),
    "MaxPool": Row(_max_pool, one_output),
}
