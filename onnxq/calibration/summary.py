"""Figures of a calibrated tensor for people: ranges, methods, outliers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np

from onnxq.calibration.histogram import BitHistogram
from onnxq.calibration.methods import (
    FloatArray,
    ImportedAmax,
    quantile,
    squared_errors,
    without_zeros,
)
from onnxq.calibration.statistics import TensorStatistics
from onnxq.descriptor import Method, QuantDescriptor

_FENCE: Final = 3.0  # interquartile ranges: Tukey's outer fence, Exploratory Data Analysis, 1977


@dataclass(frozen=True, slots=True, kw_only=True)
class AmaxEffect:
    """The effect of int8 with an amax on the observed values.

    `clipped` is the share of the values beyond amax; `sqnr_db` the ratio of the signal to the noise
    of clipping and rounding, None where all values are zeros.
    """

    amax: float
    clipped: float
    sqnr_db: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outliers:
    """Magnitudes beyond Tukey's outer fence: 3 interquartile ranges above the upper quartile.

    Zeros do not count for the quartiles. `count` is the number of values beyond.
    """

    begin: float
    count: int


def amaxes(tensor: TensorStatistics, percentile: float) -> dict[str, float]:
    """Return amax by every method that the statistics allow; `cache` for an imported one."""
    values = tensor.values
    if isinstance(values, ImportedAmax):
        return {"cache": values.amax}
    names: tuple[Method, ...] = get_args(Method)
    if not isinstance(values, BitHistogram):
        names = ("max",)
    return {
        name: tensor.amax(QuantDescriptor(method=name, percentile=percentile), tensor="")
        for name in names
    }


def effect(histogram: BitHistogram, amax: float) -> AmaxEffect:
    """Compute the effect of int8 with this amax on the values."""
    signal = float(histogram.counts @ np.square(histogram.centres()))
    if not amax or not signal:
        return AmaxEffect(amax=amax, clipped=0.0, sqnr_db=None)
    limit = np.array([amax])
    noise = float(squared_errors(histogram, limit)[0])
    sqnr = 10 * math.log10(signal / noise) if noise > 0 else math.inf
    clipped = 1 - float(_below(histogram, limit)[0]) / histogram.range.finite
    return AmaxEffect(amax=amax, clipped=max(0.0, clipped), sqnr_db=sqnr)


def outliers(histogram: BitHistogram) -> Outliers | None:
    """Find where outliers begin; None when there are none."""
    if not histogram.range.amax:
        return None
    inner = without_zeros(histogram)
    low, high = quantile(inner, 25), quantile(inner, 75)
    fence = high + _FENCE * (high - low)
    count = int(histogram.counts[histogram.lower_edges() > fence].sum())
    return Outliers(begin=fence, count=count) if count else None


def log_columns(histogram: BitHistogram, edges: FloatArray) -> FloatArray:
    """Return how many values lie between each two edges; bins are taken to be even inside."""
    return np.diff(_below(histogram, edges))


def limits(histogram: BitHistogram) -> tuple[float, float]:
    """Return the magnitudes that a plot should span: 99.9 % of the values that are not zero, from
    1 to 20 octaves.
    """
    high = histogram.range.amax
    low = quantile(without_zeros(histogram), 0.1)
    return min(max(low, high * 2.0**-20), high / 2), high


def order(
    tensors: Mapping[str, TensorStatistics], amaxes: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """Return the names: first those with NaN or Inf, then by the ratio of max to percentile."""

    def rank(name: str) -> tuple[bool, float, str]:
        values, by_method = tensors[name].range, amaxes[name]
        percentile = by_method.get("percentile")
        spread = by_method["max"] / percentile if percentile else 0.0
        return not (values.nan or values.inf), -spread, name

    return sorted(tensors, key=rank)


def _below(histogram: BitHistogram, magnitudes: FloatArray) -> FloatArray:
    """The number of values up to each magnitude."""
    ends = np.cumsum(histogram.counts)
    knots = np.stack([histogram.lower_edges(), histogram.upper_edges()], axis=1).ravel()
    counts = np.stack([ends - histogram.counts, ends], axis=1).ravel()
    return np.asarray(np.interp(magnitudes, knots, counts, left=0.0))
