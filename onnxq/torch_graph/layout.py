"""Rows of operators that move values, and of those that compute with shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from onnx import numpy_helper
from torch import Tensor
from torch.nn import functional

from onnxq.model.graph import Node
from onnxq.model.node_inputs import attribute
from onnxq.torch_graph.row import Row, integers, plain


def _concat(node: Node, *inputs: Tensor) -> Tensor:
    return torch.cat(inputs, attribute(node, "axis"))


def _constant_of_shape(node: Node, shape: Tensor) -> Tensor:
    value = attribute(node, "value")
    fill = (
        torch.zeros(1) if value is None else torch.from_numpy(numpy_helper.to_array(value).copy())
    )
    return fill.reshape(()).expand(integers(shape)).contiguous()


def _expand(x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(np.broadcast_shapes(x.shape, tuple(integers(shape))))


def _flatten(node: Node, x: Tensor) -> Tensor:
    axis = attribute(node, "axis")
    rows = 1
    for size in x.shape[:axis]:
        rows *= size
    return x.reshape(rows, -1) if x.numel() else x.reshape(rows, 0)


def _gather(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    axis = attribute(node, "axis") % x.ndim
    places = torch.where(indices < 0, indices + x.shape[axis], indices)
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    return torch.index_select(x, axis, places.reshape(-1)).reshape(shape)


def _gather_elements(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    axis = attribute(node, "axis")
    return torch.gather(x, axis, torch.where(indices < 0, indices + x.shape[axis], indices))


def _depth_to_space(node: Node, x: Tensor) -> Tensor:
    block = attribute(node, "blocksize")
    if attribute(node, "mode") == b"DCR":
        n, c, h, w = x.shape
        x = x.reshape(n, block * block, c // block**2, h, w).transpose(1, 2).reshape(n, c, h, w)
    return functional.pixel_shuffle(x, block)


def _space_to_depth(node: Node, x: Tensor) -> Tensor:
    block = attribute(node, "blocksize")
    n, c, h, w = x.shape
    deep = functional.pixel_unshuffle(x, block)
    if node.attributes.get("mode") == b"CRD":
        return deep
    deep = deep.reshape(n, c, block * block, h // block, w // block)
    return deep.transpose(1, 2).reshape(n, c * block * block, h // block, w // block)


def _pad(
    node: Node, x: Tensor, pads: Tensor, value: Tensor | None = None, axes: Tensor | None = None
) -> Tensor:
    amounts = integers(pads)
    places = [a % x.ndim for a in integers(axes)] or list(range(x.ndim))
    before = dict(zip(places, amounts, strict=False))
    after = dict(zip(places, amounts[len(places) :], strict=True))
    mode = attribute(node, "mode")
    if mode == b"constant":
        ends = [n for a in reversed(range(x.ndim)) for n in (before.get(a, 0), after.get(a, 0))]
        return functional.pad(x, ends, value=0 if value is None else value.item())
    for axis in places:
        index = _padded_places(x.shape[axis], before[axis], after[axis], mode)
        x = torch.index_select(x, axis, index)
    return x


def _padded_places(size: int, before: int, after: int, mode: bytes) -> Tensor:
    """The index of the value of an axis that stands at each place of the padded one."""
    places = torch.arange(-before, size + after)
    if mode == b"edge":
        return places.clamp(0, size - 1)
    if mode == b"wrap":
        return places % size
    period = max(1, 2 * (size - 1))
    folded = places % period
    return torch.minimum(folded, period - folded)


def _reshape(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    sizes = integers(shape)
    if not attribute(node, "allowzero"):
        sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    return x.reshape(sizes)


def _shape(node: Node, x: Tensor) -> Tensor:
    start, end = node.attributes.get("start", 0), node.attributes.get("end", x.ndim)
    return torch.tensor(x.shape[start:end], dtype=torch.int64)


def _slice(
    x: Tensor,
    starts: Tensor,
    ends: Tensor,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    first, last = integers(starts), integers(ends)
    along = integers(axes) or list(range(len(first)))
    by = integers(steps) or [1] * len(first)
    for start, end, axis, step in zip(first, last, along, by, strict=True):
        places = range(*slice(start, end, step).indices(x.shape[axis]))
        if step > 0:
            cut = [slice(None)] * x.ndim
            cut[axis] = slice(start, end, step)
            x = x[tuple(cut)]
        elif end < 0 and end < -x.shape[axis]:  # to the first value, which Python calls None
            places = range(*slice(start, None, step).indices(x.shape[axis]))
        if step < 0:
            x = torch.index_select(x, axis, torch.tensor(places, dtype=torch.int64))
    return x


def _split(node: Node, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis, parts = attribute(node, "axis"), len(node.outputs)
    chunk = -(-x.shape[axis] // parts)
    ends = [min(chunk * i, x.shape[axis]) for i in range(parts + 1)]
    lengths = integers(sizes) or [b - a for a, b in pairwise(ends)]
    return torch.split(x, lengths, axis)


def _squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(tuple(integers(axes)))


def _unsqueeze(x: Tensor, axes: Tensor) -> Tensor:
    rank = x.ndim + axes.numel()
    for axis in sorted(a % rank for a in integers(axes)):
        x = x.unsqueeze(axis)
    return x


def _tile(x: Tensor, repeats: Tensor) -> Tensor:
    return x.repeat(integers(repeats))


def _transpose(node: Node, x: Tensor) -> Tensor:
    order: Sequence[int] = node.attributes.get("perm", range(x.ndim)[::-1])
    return x.permute(*order) if x.ndim else x


def _range(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


ROWS: Final[Mapping[str, Row]] = {
    "Concat": Row(_concat),
    "ConstantOfShape": Row(_constant_of_shape),
    "DepthToSpace": Row(_depth_to_space),
    "Expand": plain(_expand),
    "Flatten": Row(_flatten),
    "Gather": Row(_gather),
    "GatherElements": Row(_gather_elements),
    "Pad": Row(_pad),
    "Range": plain(_range),
    "Reshape": Row(_reshape),
    "Shape": Row(_shape),
    "Size": plain(lambda x: torch.tensor(x.numel())),
    "Slice": plain(_slice),
    "SpaceToDepth": Row(_space_to_depth),
    "Split": Row(_split),
    "Squeeze": plain(_squeeze),
    "Tile": plain(_tile),
    "Transpose": Row(_transpose),
    "Unsqueeze": plain(_unsqueeze),
}
