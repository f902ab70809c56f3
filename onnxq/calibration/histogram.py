"""The bit histogram: float32 magnitudes counted by the top bits of their own bit pattern.

A bin is one magnitude at reduced precision (the exponent and 9 mantissa bits), so no range is
needed beforehand, nothing is ever rebinned, resolution is the same at every magnitude, and adding
two histograms is exact: any order and any split of the data gives the same counts.
Counting needs numba, which is imported with the first `HistogramAccumulator`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

MANTISSA_BITS: Final = 9  # docs/adr/0001 says why
SHIFT: Final = 23 - MANTISSA_BITS
BINS: Final = 0xFF << MANTISSA_BITS  # of finite magnitudes; the bins above hold Inf and NaN
_INF_BIN: Final = BINS
_ROW: Final = 1 << (31 - SHIFT)
_KEPT: Final = 4096  # values, 16 KB a tensor
_COUNTER_LIMIT: Final = 2**32 - 1
_NOTHING: Final = np.array([2**31 - 1, -(2**31)], np.int32)  # the keys' extremes of no values

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRange:
    """Exact extremes of the finite values, and counts; a commutative monoid under `+`.

    `count` is the number of all values, `nan` and `inf` of those that are not finite. With no
    finite value, minimum is inf and maximum -inf. Zeros are kept as +0.
    """

    count: int = 0
    nan: int = 0
    inf: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf

    def __post_init__(self) -> None:
        # -0.0 + 0.0 is 0.0: min(0.0, -0.0) would depend on the order of its arguments.
        object.__setattr__(self, "minimum", self.minimum + 0.0)
        object.__setattr__(self, "maximum", self.maximum + 0.0)

    @classmethod
    def of(cls, x: npt.NDArray[np.float32]) -> ValueRange:
        """Return the range of an array of any shape."""
        if not x.size:
            return cls()
        with np.errstate(invalid="ignore"):  # NaN
            low, high = float(x.min()), float(x.max())
        if math.isfinite(low) and math.isfinite(high):
            return cls(count=x.size, minimum=low, maximum=high)
        finite = cls.of(x[np.isfinite(x)])
        nan = int(np.count_nonzero(np.isnan(x)))
        return finite + cls(count=x.size - finite.count, nan=nan, inf=x.size - finite.count - nan)

    @property
    def finite(self) -> int:
        """The number of finite values."""
        return self.count - self.nan - self.inf

    @property
    def amax(self) -> float:
        """The largest finite magnitude; 0 when there is none."""
        return max(abs(self.minimum), abs(self.maximum)) if self.finite else 0.0

    def __add__(self, other: ValueRange) -> ValueRange:
        return ValueRange(
            count=self.count + other.count,
            nan=self.nan + other.nan,
            inf=self.inf + other.inf,
            minimum=min(self.minimum, other.minimum),
            maximum=max(self.maximum, other.maximum),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BitHistogram:
    """Counts of finite float32 magnitudes by bit bin, and the exact range; a commutative monoid.

    `bins` (uint32, ascending, each below BINS) are the bins that are not empty, `counts` (int64)
    the numbers of values in them. Bin b holds the magnitudes whose bits, shifted right by SHIFT,
    are b.
    """

    range: ValueRange = field(default_factory=ValueRange)
    bins: npt.NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    counts: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(cls, x: npt.NDArray[np.float32]) -> BitHistogram:
        """Return the histogram of a float32 array of any shape."""
        accumulator = HistogramAccumulator()
        accumulator.observe(x)
        return accumulator.freeze()

    def __add__(self, other: BitHistogram) -> BitHistogram:
        bins, where = np.unique(np.concatenate([self.bins, other.bins]), return_inverse=True)
        counts = np.zeros(len(bins), np.int64)
        np.add.at(counts, where, np.concatenate([self.counts, other.counts]))
        return BitHistogram(range=self.range + other.range, bins=bins, counts=counts)

    def lower_edges(self) -> FloatArray:
        """The lowest magnitude that each bin of `bins` can hold."""
        return _magnitudes(self.bins)

    def upper_edges(self) -> FloatArray:
        """Where each bin of `bins` ends; the last one at the exact largest magnitude."""
        edges = _magnitudes(self.bins + np.uint32(1))
        edges[-1:] = self.range.amax
        return edges

    def centres(self) -> FloatArray:
        """The middle of each bin of `bins`."""
        return (self.lower_edges() + self.upper_edges()) / 2


class Accumulator(Protocol):
    """Counts the values of one tensor during a run; not safe to share between threads."""

    def observe(self, x: npt.NDArray[np.float32]) -> None:
        """Take in a float32 array of any shape."""

    def freeze(self) -> ValueRange | BitHistogram:
        """Return the statistics of the values observed so far."""


class RangeAccumulator:
    """Gathers a `ValueRange`, for the `max` calibrator."""

    def __init__(self) -> None:
        self._range = ValueRange()

    def observe(self, x: npt.NDArray[np.float32]) -> None:
        """Take in a float32 array of any shape; TypeError for another type."""
        self._range += ValueRange.of(_flat(x))

    def freeze(self) -> ValueRange:
        """Return the range observed so far."""
        return self._range


class HistogramAccumulator:
    """Gathers a `BitHistogram` in 1 MB, whatever the data."""

    def __init__(self) -> None:
        self._count = _kernel()
        self._spilled = BitHistogram()
        self._rows = np.zeros(2 * _ROW, np.uint32)
        self._extremes = _NOTHING.copy()
        self._pending = self._finite = 0

    def observe(self, x: npt.NDArray[np.float32]) -> None:
        """Take in a float32 array of any shape; TypeError for another type.

        A contiguous array, C or Fortran, is read without a copy and without the GIL.
        """
        values = _flat(x)
        if self._pending + values.size <= _COUNTER_LIMIT:
            self._observe(values)
            return
        for start in range(0, values.size, _COUNTER_LIMIT):
            self._spill()
            self._observe(values[start : start + _COUNTER_LIMIT])

    def _observe(self, values: npt.NDArray[np.float32]) -> None:
        self._pending += values.size
        if self._count(values.view(np.uint32), self._rows, self._extremes, SHIFT):
            self._finite += values.size
        else:  # Inf or NaN among them
            self._spilled += BitHistogram(range=ValueRange.of(values))

    def freeze(self) -> BitHistogram:
        """Return the histogram of the values observed so far."""
        self._spill()
        return self._spilled

    def _spill(self) -> None:
        """Move the 32-bit counts to 64-bit ones, before they could overflow."""
        dense = self._rows[:_INF_BIN] + self._rows[_ROW:][:_INF_BIN]  # 2**32 - 1 at most
        bins = np.flatnonzero(dense > 0)  # on booleans it takes a seventh of the time
        self._spilled += BitHistogram(
            range=_range_of(self._finite, self._extremes),
            bins=bins.astype(np.uint32),
            counts=dense[bins].astype(np.int64),
        )
        self._rows = np.zeros(2 * _ROW, np.uint32)
        self._extremes = _NOTHING.copy()
        self._pending = self._finite = 0


class SparseAccumulator:
    """Gathers the same `BitHistogram`, slower, in the memory of the bins that are not empty.

    Values of small arrays are kept until there are enough to be worth counting.
    """

    def __init__(self) -> None:
        self._counted = BitHistogram()
        self._kept: list[npt.NDArray[np.float32]] = []
        self._size = 0

    def observe(self, x: npt.NDArray[np.float32]) -> None:
        """Take in a float32 array of any shape; TypeError for another type."""
        values = _flat(x)
        self._kept.append(values if values.size >= _KEPT else values.copy())
        self._size += values.size
        if self._size >= _KEPT:
            self._count()

    def freeze(self) -> BitHistogram:
        """Return the histogram of the values observed so far."""
        self._count()
        return self._counted

    def _count(self) -> None:
        if self._kept:
            self._counted += BitHistogram.of(np.concatenate(self._kept))
        self._kept, self._size = [], 0


def _kernel() -> Callable[..., Any]:
    from onnxq.calibration._bitcount import count

    kernel: Callable[..., Any] = count
    return kernel


def _flat(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    if x.dtype != np.float32:
        raise TypeError(f"only float32 values can be observed, not {x.dtype}")
    return np.require(x.ravel(order="K"), requirements="A")


def _range_of(count: int, keys: npt.NDArray[np.int32]) -> ValueRange:
    """Undo the kernel's keys, which order as floats do."""
    if not count:
        return ValueRange()
    low, high = (keys ^ ((keys >> 31) & np.int32(0x7FFFFFFF))).view(np.float32)
    return ValueRange(count=count, minimum=float(low), maximum=float(high))


def _magnitudes(bins: npt.NDArray[np.uint32]) -> FloatArray:
    return (bins << np.uint32(SHIFT)).view(np.float32).astype(np.float64)
