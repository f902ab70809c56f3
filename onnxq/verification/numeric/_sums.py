"""The loop of `difference`. Importing it imports numba and loads compiled code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from onnxq.jit import jit


def _array(dtype: Any) -> Any:
    return types.Array(dtype, 1, "C", readonly=True)


# Sums in any order, so that a core adds several values at once. NaN and infinity stay.
@jit(
    [(_array(t), _array(t)) for t in (types.float32, types.float64)],
    fastmath={"reassoc", "contract", "nsz"},
)
def sums(reference: Any, test: Any) -> Any:
    """The figures of a Difference, in the order of its fields, of two arrays of one length."""
    signal = tested = product = noise = error = largest = 0.0
    equal = 0
    low, high = np.inf, -np.inf
    for i in range(reference.size):
        a, b = np.float64(reference[i]), np.float64(test[i])
        apart = abs(a - b)
        signal += a * a
        tested += b * b
        product += a * b
        noise += apart * apart
        error += apart
        largest = max(largest, apart)
        equal += apart == 0
        low, high = min(low, a), max(high, a)
    return signal, tested, product, noise, error, largest, equal, low, high
