"""The counting kernel of the histogram. Importing it imports numba and loads compiled code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from onnxq.jit import jit

_BLOCK = 16384  # values: both passes over a block then find it in the L2 cache
_bits = types.Array(types.uint32, 1, "C", readonly=True)
_KEY_MIN, _KEY_MAX = np.int32(-(2**31)), np.int32(2**31 - 1)
_KEY_OF_INF = np.int32(0x7F800000)
_KEY_OF_MINUS_INF = np.int32(-0x7F800001)


@jit()
def _extremes(bits: Any) -> Any:
    """Return the lowest and highest key; keys are int32 and ordered as the floats are."""
    low, high = _KEY_MAX, _KEY_MIN
    for i in range(bits.size):
        b = np.int32(bits[i])
        key = b ^ ((b >> np.int32(31)) & np.int32(0x7FFFFFFF))
        low = min(low, key)
        high = max(high, key)
    return low, high


@jit()
def _count(bits: Any, rows: Any, shift: Any) -> None:
    # Two rows: with one, each increment of a repeated value would wait for the one before.
    # Unsigned indices: for them numba leaves out the test for negative ones.
    mask, step = np.uint32(0x7FFFFFFF), np.uint32(1)
    row = np.uint64(rows.size // 2)
    pairs = bits.size // 2 * 2
    for i in range(0, pairs, 2):
        rows[np.uint64((bits[i] & mask) >> shift)] += step
        rows[row + np.uint64((bits[i + 1] & mask) >> shift)] += step
    if pairs < bits.size:
        rows[np.uint64((bits[pairs] & mask) >> shift)] += step


@jit([(_bits, types.uint32[::1], types.int32[::1], types.uint32)])
def count(bits: Any, rows: Any, extremes: Any, shift: Any) -> Any:
    """Add the magnitudes of float32 `bits` (1-D uint32), shifted right, to `rows`.

    `rows` holds two histograms, one after the other; their sum is the count. `extremes` (int32[2])
    are the lowest and highest key so far, where key = bits ^ ((bits >> 31) & 0x7fffffff) as int32;
    they take in `bits` unless Inf or NaN is among them, and then the result is False.
    """
    low, high = _KEY_MAX, _KEY_MIN
    for start in range(0, bits.size, _BLOCK):
        block = bits[start : start + _BLOCK]
        block_low, block_high = _extremes(block)
        low = min(low, block_low)
        high = max(high, block_high)
        _count(block, rows, shift)
    if bits.size and (low <= _KEY_OF_MINUS_INF or high >= _KEY_OF_INF):
        return False
    extremes[0] = min(extremes[0], low)
    extremes[1] = max(extremes[1], high)
    return True
