"""The row of Resize: nearest and linear, one axis after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from onnxq.model.graph import Node
from onnxq.model.node_inputs import attribute
from onnxq.torch_graph.row import Row, integers

_TRANSFORMATIONS: Final = (
    b"half_pixel", b"pytorch_half_pixel", b"asymmetric", b"align_corners"
)  # fmt: skip


def _resize(
    node: Node,
    x: Tensor,
    roi: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
) -> Tensor:
    axes = [a % x.ndim for a in attribute(node, "axes") or range(x.ndim)]
    if sizes is not None and sizes.numel():
        lengths = integers(sizes)
        factors = [n / x.shape[a] for n, a in zip(lengths, axes, strict=True)]
    else:
        assert scales is not None
        factors = scales.tolist()
        lengths = [int(x.shape[a] * f) for a, f in zip(axes, factors, strict=True)]
    if (whole := _repeats(node, x, axes, factors)) is not None:
        return functional.interpolate(x, scale_factor=whole)
    for axis, length, factor in zip(axes, lengths, factors, strict=True):
        if length != x.shape[axis] or factor != 1:
            x = _along(node, x, axis, length, factor)
    return x


def _repeats(
    node: Node, x: Tensor, axes: list[int], factors: list[float]
) -> tuple[float, ...] | None:
    """Whole factors of a picture whose values are repeated, which torch does at once."""
    how = attribute(node, "coordinate_transformation_mode"), attribute(node, "nearest_mode")
    by_axis = dict(zip(axes, factors, strict=True))
    whole = tuple(by_axis.get(axis, 1.0) for axis in range(x.ndim))
    usual = how in ((b"asymmetric", b"floor"), (b"half_pixel", b"round_prefer_floor"))
    fits = x.ndim == 4 and whole[:2] == (1, 1) and all(f >= 1 and f == int(f) for f in whole)
    return whole[2:] if attribute(node, "mode") == b"nearest" and usual and fits else None


def _along(node: Node, x: Tensor, axis: int, length: int, factor: float) -> Tensor:
    size = x.shape[axis]
    places = _places(attribute(node, "coordinate_transformation_mode"), size, length, factor)
    if attribute(node, "mode") == b"nearest":
        index = _nearest(places, attribute(node, "nearest_mode")).clamp(0, size - 1)
        return torch.index_select(x, axis, index.long())
    places = places.clamp(0, size - 1)
    low = places.floor().clamp(max=max(0, size - 2))
    share = (places - low).to(x.dtype).reshape(-1, *[1] * (x.ndim - 1 - axis))
    below = torch.index_select(x, axis, low.long())
    above = torch.index_select(x, axis, (low + 1).clamp(max=size - 1).long())
    return below * (1 - share) + above * share


def _places(how: bytes, size: int, length: int, factor: float) -> Tensor:
    """The coordinates in the input of every place of the output, float64."""
    out = torch.arange(length, dtype=torch.float64)
    if how == b"align_corners":
        return out * ((size - 1) / (length - 1)) if length > 1 else out
    if how == b"asymmetric":
        return out / factor
    if how == b"pytorch_half_pixel" and length == 1:
        return torch.zeros_like(out)
    return (out + 0.5) / factor - 0.5


def _nearest(places: Tensor, how: bytes) -> Tensor:
    if how == b"floor":
        return places.floor()
    if how == b"ceil":
        return places.ceil()
    if how == b"round_prefer_ceil":
        return (places + 0.5).floor()
    return (places - 0.5).ceil()


def _limit(node: Node) -> str:
    if (mode := attribute(node, "mode")) not in (b"nearest", b"linear"):
        return f"mode {mode.decode()}"
    how = attribute(node, "coordinate_transformation_mode")
    if how not in _TRANSFORMATIONS:
        return f"coordinate_transformation_mode {how.decode()}"
    if attribute(node, "antialias"):
        return "antialias"
    policy = attribute(node, "keep_aspect_ratio_policy") or b"stretch"
    return "" if policy == b"stretch" else f"keep_aspect_ratio_policy {policy.decode()}"


ROWS: Final[Mapping[str, Row]] = {"Resize": Row(_resize, _limit)}
