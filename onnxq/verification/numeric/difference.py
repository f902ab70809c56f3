"""Sums over the values of two tensors, in one pass over both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Difference:
    """Sums in float64 over the values of a reference and of what is compared with it.

    `signal` and `test` are their sums of squares, `product` that of both, `noise` that of the
    difference. `error` is the sum of its magnitudes, `largest` the greatest, `equal` the number
    of values without any. `low` and `high` are the extremes of the reference.
    """

    signal: float
    test: float
    product: float
    noise: float
    error: float
    largest: float
    equal: int
    low: float
    high: float

    @property
    def is_finite(self) -> bool:
        """Whether all values are finite, and their squares too."""
        return math.isfinite(self.signal) and math.isfinite(self.test)


def difference(reference: NDArray[Any], test: NDArray[Any]) -> Difference:
    """Compare two arrays of one shape."""
    from onnxq.verification.numeric._sums import sums

    kind = np.float32 if reference.dtype == test.dtype == np.float32 else np.float64
    first, second = (np.ascontiguousarray(a, kind).reshape(-1) for a in (reference, test))
    return Difference(*sums(first, second))
