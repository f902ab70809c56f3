"""First and second moments of the inputs of a product, gathered a sample at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from onnxq.improvement.edits import Array
from onnxq.improvement.weights.second_order import Float64


@dataclass(slots=True, kw_only=True, eq=False)
class Moments:
    """Sums over `count` rows of inputs: (groups, inputs) and (groups, inputs, inputs).

    They are taken around a `pivot`, the mean of the first rows: a mean that is large beside the
    spread would drown it.
    """

    groups: int
    inputs: int
    count: int = 0
    pivot: Float64 | None = None
    sums: Float64 = field(init=False)
    products: Float64 = field(init=False)

    def __post_init__(self) -> None:
        self.sums = np.zeros((self.groups, self.inputs))
        self.products = np.zeros((self.groups, self.inputs, self.inputs))

    def add(self, inputs: Array) -> None:
        """Add rows of inputs: (positions, groups, inputs). Those that are not finite are left out.

        Products are computed in float32 and summed in float64.
        """
        rows = inputs[np.isfinite(inputs).all(axis=(1, 2))].transpose(1, 0, 2)
        if not rows.size:
            return
        if self.pivot is None:
            self.pivot = rows.mean(axis=1, dtype=np.float64)
        around = np.ascontiguousarray(rows - self.pivot[:, None], np.float32)
        self.count += rows.shape[1]
        self.sums += around.sum(axis=1, dtype=np.float64)
        self.products += np.matmul(around.transpose(0, 2, 1), around)

    def mean(self) -> Float64:
        """The mean of each input: (groups, inputs)."""
        pivot = np.zeros_like(self.sums) if self.pivot is None else self.pivot
        return pivot + self.sums / max(1, self.count)

    def second(self, *, centered: bool) -> Float64:
        """The mean products of two inputs, or with `centered` their covariance."""
        around = self.sums / max(1, self.count)
        covariance = self.products / max(1, self.count) - _outer(around)
        return covariance if centered else covariance + _outer(self.mean())


def _outer(vectors: Float64) -> Float64:
    return np.asarray(vectors[:, :, None] * vectors[:, None, :])


def nbytes(groups: int, inputs: int) -> int:
    """Bytes of the moments of so many inputs."""
    return 8 * groups * inputs * (inputs + 1)
