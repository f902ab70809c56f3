"""First and second moments of the inputs of a product, gathered a sample at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from onnxq.improvement.edits import Array
from onnxq.improvement.second_order import Float64


@dataclass(slots=True, kw_only=True, eq=False)
class Moments:
    """Sums over `count` rows of inputs: (groups, inputs) and (groups, inputs, inputs)."""

    groups: int
    inputs: int
    count: int = 0
    sums: Float64 = field(init=False)
    products: Float64 = field(init=False)

    def __post_init__(self) -> None:
        self.sums = np.zeros((self.groups, self.inputs))
        self.products = np.zeros((self.groups, self.inputs, self.inputs))

    @property
    def nbytes(self) -> int:
        """Bytes of the sums."""
        return nbytes(self.groups, self.inputs)

    def add(self, inputs: Array) -> None:
        """Add rows of inputs: (positions, groups, inputs). Those that are not finite are left out.

        Products are computed in float32 and summed in float64.
        """
        rows = inputs[np.isfinite(inputs).all(axis=(1, 2))].astype(np.float32)
        by_group = np.ascontiguousarray(rows.transpose(1, 0, 2))
        self.count += len(rows)
        self.sums += by_group.sum(axis=1, dtype=np.float64)
        self.products += np.matmul(by_group.transpose(0, 2, 1), by_group)

    def mean(self) -> Float64:
        """The mean of each input: (groups, inputs)."""
        return self.sums / max(1, self.count)

    def second(self, *, centered: bool) -> Float64:
        """The mean products of two inputs, or with `centered` their covariance."""
        result = self.products / max(1, self.count)
        if centered:
            mean = self.mean()
            result -= mean[:, :, None] * mean[:, None, :]
        return result


def nbytes(groups: int, inputs: int) -> int:
    """Bytes of the moments of so many inputs."""
    return 8 * groups * inputs * (inputs + 1)
