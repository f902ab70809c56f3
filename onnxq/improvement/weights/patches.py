"""Products as rows: a weight as a matrix for each group, and the inputs that it is multiplied with.

For every op here, output[o] = sum over i of rows[g, o, i] * inputs[p, g, i] at each position p.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onnxq.improvement.edits import Array
from onnxq.model.graph import Graph, Node
from onnxq.model.node_inputs import attribute

Positions = NDArray[np.intp]


class Product(Protocol):
    """One form of a product with a constant weight in slot 1."""

    def rows(self, weight: Array) -> Array:
        """The weight, or anything in its shape, as (groups, outputs, inputs)."""
        ...

    def weight(self, rows: Array) -> Array:
        """What `rows` made of a weight, as that weight."""
        ...

    def inputs(self, x: Array, limit: int, rng: np.random.Generator) -> Array:
        """Inputs at all positions, or at `limit` drawn ones: (positions, groups, inputs)."""
        ...


def product(graph: Graph, node: Node) -> Product | str:
    """The form of a node with a constant weight; or why it has none."""
    shape = graph.array(node.inputs[1]).shape
    if node.op in ("Gemm", "MatMul"):
        if len(shape) != 2:
            return f"its weight has rank {len(shape)}"
        is_gemm = node.op == "Gemm"
        return Matrix(
            is_turned=is_gemm and bool(attribute(node, "transB")),
            takes_turned=is_gemm and bool(attribute(node, "transA")),
        )
    if node.op not in ("Conv", "ConvTranspose"):
        return f"{node.op} has no form as a matrix here"
    if len(shape) < 3:
        return f"its weight has rank {len(shape)}"
    kind = Filters if node.op == "Conv" else TransposedFilters
    if kind is TransposedFilters and {"auto_pad", "output_shape"} & node.attributes.keys():
        return "its padding follows from the size of its input"
    return kind.of(node, shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Gemm and MatMul: the weight is (outputs, inputs) where `is_turned`, else (inputs, outputs).

    With `takes_turned` the inputs are those along the first axis of a matrix.
    """

    is_turned: bool
    takes_turned: bool

    def rows(self, weight: Array) -> Array:
        """Of (inputs, outputs) or, turned, of (outputs, inputs)."""
        return np.asarray(weight if self.is_turned else weight.T)[None]

    def weight(self, rows: Array) -> Array:
        """The first group."""
        return np.asarray(rows[0] if self.is_turned else rows[0].T)

    def inputs(self, x: Array, limit: int, rng: np.random.Generator) -> Array:
        """The vectors along the last axis."""
        matrix = np.asarray(x.T if self.takes_turned else x)
        vectors = matrix.reshape(-1, 1, matrix.shape[-1])
        return vectors[drawn(len(vectors), limit, rng)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Conv, with any group and number of dimensions. `shape` is that of its weight."""

    shape: tuple[int, ...]
    groups: int
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    auto_pad: str = "NOTSET"

    @classmethod
    def of(cls, node: Node, shape: tuple[int, ...]) -> Filters:
        """The form of a node whose weight has this shape."""
        dims = len(shape) - 2
        return cls(
            shape=shape,
            groups=int(attribute(node, "group")),
            strides=_sizes(node, "strides", (1,) * dims),
            dilations=_sizes(node, "dilations", (1,) * dims),
            pads=_sizes(node, "pads", (0,) * (2 * dims)),
            auto_pad=_text(attribute(node, "auto_pad")),
        )

    @property
    def kernel(self) -> tuple[int, ...]:
        """Sizes of a window, without dilation."""
        return self.shape[2:]

    @property
    def extents(self) -> tuple[int, ...]:
        """Sizes of a window, with dilation."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def rows(self, weight: Array) -> Array:
        """Of (outputs, inputs of a group, *kernel)."""
        return weight.reshape(self.groups, self.shape[0] // self.groups, prod(self.shape[1:]))

    def weight(self, rows: Array) -> Array:
        """In the shape of the weight."""
        return rows.reshape(self.shape)

    def inputs(self, x: Array, limit: int, rng: np.random.Generator) -> Array:
        """The windows of x, zeros where it is padded."""
        margins = self._margins(x.shape[2:])
        padded = np.pad(x, [(0, 0), (0, 0), *margins])
        windows = _windows(padded, self.extents, self.strides, self.dilations)
        return _chosen(windows, len(self.kernel), self.groups, limit, rng)

    def _margins(self, sizes: Sequence[int]) -> list[tuple[int, int]]:
        if self.auto_pad in ("NOTSET", "VALID"):
            is_padded = self.auto_pad == "NOTSET"
            pads = self.pads if is_padded else (0,) * len(self.pads)
            return list(zip(pads[: len(sizes)], pads[len(sizes) :], strict=True))
        margins = []
        for size, stride, extent in zip(sizes, self.strides, self.extents, strict=True):
            total = max(0, (-(-size // stride) - 1) * stride + extent - size)
            less, more = total // 2, total - total // 2
            margins.append((less, more) if self.auto_pad == "SAME_UPPER" else (more, less))
        return margins


@dataclass(frozen=True, slots=True, kw_only=True)
class TransposedFilters(Filters):
    """ConvTranspose: a Conv with turned windows over x with zeros between its values."""

    added: tuple[int, ...] = ()

    @classmethod
    def of(cls, node: Node, shape: tuple[int, ...]) -> TransposedFilters:
        """The form of a node whose weight has this shape."""
        dims = len(shape) - 2
        return cls(
            shape=shape,
            groups=int(attribute(node, "group")),
            strides=_sizes(node, "strides", (1,) * dims),
            dilations=_sizes(node, "dilations", (1,) * dims),
            pads=_sizes(node, "pads", (0,) * (2 * dims)),
            added=_sizes(node, "output_padding", (0,) * dims),
        )

    def rows(self, weight: Array) -> Array:
        """Of (inputs, outputs of a group, *kernel)."""
        inputs, outputs, *kernel = self.shape
        by_group = weight.reshape(self.groups, inputs // self.groups, outputs, prod(kernel))
        return by_group.transpose(0, 2, 1, 3).reshape(self.groups, outputs, -1)

    def weight(self, rows: Array) -> Array:
        """In the shape of the weight."""
        inputs, outputs, *kernel = self.shape
        split = rows.reshape(self.groups, outputs, inputs // self.groups, prod(kernel))
        return split.transpose(0, 2, 1, 3).reshape(self.shape)

    def inputs(self, x: Array, limit: int, rng: np.random.Generator) -> Array:
        """The windows of the spread x, in the order of the turned weight."""
        dims = len(self.kernel)
        spread = self._spread(x)
        windows = _windows(spread, self.extents, (1,) * dims, self.dilations)
        turned = np.flip(windows, axis=tuple(range(-dims, 0)))
        return _chosen(turned, dims, self.groups, limit, rng)

    def _spread(self, x: Array) -> Array:
        """Zeros between and around the values of x, or less of them where `pads` cut more."""
        dims = len(self.kernel)
        margins, cuts = [(0, 0), (0, 0)], [slice(None), slice(None)]
        inner = list(x.shape[:2])
        for axis in range(dims):
            size, extent = (x.shape[axis + 2] - 1) * self.strides[axis] + 1, self.extents[axis]
            before = extent - 1 - self.pads[axis]
            after = extent - 1 - self.pads[axis + dims] + self.added[axis]
            inner.append(size)
            margins.append((max(0, before), max(0, after)))
            cuts.append(slice(max(0, -before), size + max(0, before) + after))
        spread = np.zeros(inner, x.dtype)
        spaced = tuple(slice(None, None, step) for step in self.strides)
        spread[(slice(None), slice(None), *spaced)] = x
        return np.pad(spread, margins)[tuple(cuts)]


def drawn(count: int, limit: int, rng: np.random.Generator) -> Positions:
    """At most `limit` of the places 0 to `count` - 1, in rising order."""
    if count <= limit:
        return np.arange(count)
    return np.sort(rng.choice(count, limit, replace=False))


def _windows(
    x: Array, extents: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Array:
    """A view (batch, channels, *positions, *kernel)."""
    axes = tuple(range(2, x.ndim))
    if any(size < extent for size, extent in zip(x.shape[2:], extents, strict=True)):
        none = (0,) * len(axes)
        kernel = [-(-extent // d) for extent, d in zip(extents, dilations, strict=True)]
        return np.zeros((*x.shape[:2], *none, *kernel), x.dtype)
    view = np.lib.stride_tricks.sliding_window_view(x, tuple(extents), axis=axes)
    spaced = tuple(slice(None, None, step) for step in (*strides, *dilations))
    return np.asarray(view[(slice(None), slice(None), *spaced)])


def _chosen(windows: Array, dims: int, groups: int, limit: int, rng: np.random.Generator) -> Array:
    """Windows at some positions: (positions, groups, channels of a group * kernel)."""
    places = (windows.shape[0], *windows.shape[2 : 2 + dims])
    batch, *at = np.unravel_index(drawn(prod(places), limit, rng), places)
    chosen = np.asarray(windows[(batch, slice(None), *at)])  # type: ignore[arg-type]
    return chosen.reshape(len(chosen), groups, prod(chosen.shape[1:]) // groups)


def _sizes(node: Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(node.attributes.get(name) or default)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "NOTSET")
