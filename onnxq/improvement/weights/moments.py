"""Second moments of the inputs of a product, gathered a sample at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from onnxq.improvement.edits import Array
from onnxq.improvement.weights.second_order import Float64


@dataclass(slots=True, kw_only=True, eq=False)
class Moments:
    """Sums of the products of two inputs over `count` rows: (groups, inputs, inputs)."""

    groups: int
    inputs: int
    count: int = 0
    products: Float64 = field(init=False)

    def __post_init__(self) -> None:
        self.products = np.zeros((self.groups, self.inputs, self.inputs))

    def add(self, inputs: Array) -> None:
        """Add rows of inputs: (positions, groups, inputs). Those that are not finite are left out.

        Products are computed in float32 and summed in float64.
        """
        rows = inputs[np.isfinite(inputs).all(axis=(1, 2))].transpose(1, 0, 2)
        some = np.ascontiguousarray(rows, np.float32)
        self.count += some.shape[1]
        self.products += np.matmul(some.transpose(0, 2, 1), some)

    def second(self) -> Float64:
        """The mean products of two inputs."""
        return self.products / max(1, self.count)


def nbytes(groups: int, inputs: int) -> int:
    """Bytes of the moments of so many inputs."""
    return 8 * groups * inputs * inputs
