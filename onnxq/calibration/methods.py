"""Statistics -> amax, the largest magnitude that a quantized type represents.

A method is one function in `METHODS`: a `BitHistogram` that holds some value other than zero and
a `QuantDescriptor` in, a candidate amax out. Add one with `@_method("name")`, and its name to
`descriptor.Method`. pytorch-quantization's algorithms are the models; on its own histogram the
entropy search below gives its result exactly.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from onnxq import diagnostics
from onnxq.calibration.histogram import MANTISSA_BITS, SHIFT, BitHistogram, ValueRange
from onnxq.descriptor import QuantDescriptor
from onnxq.formats import FORMATS


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedAmax:
    """An amax chosen elsewhere, as in a TensorRT calibration cache: no method changes it."""

    amax: float


Observed = BitHistogram | ValueRange | ImportedAmax
MethodFunction = Callable[[BitHistogram, QuantDescriptor], float]
METHODS: Final[dict[str, MethodFunction]] = {}

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_LEVELS: Final = int(FORMATS["int8"].largest)  # positive steps

# mse: candidates are amax * 2**(-i / 32), down to amax / 1024; then those around the best in
# steps of 2**(1 / 512), a fifth of the relative distance between the highest steps of int8.
_MSE_OCTAVES: Final = 10
_MSE_COARSE: Final = np.exp2(-np.arange(_MSE_OCTAVES * 32) / 32)
_MSE_FINE: Final = np.exp2(np.arange(160, -161, -1) / 512)

# adaptive: SiLU ends at -0.28, HardSwish at -0.375; a ReLU makes a third to a half of all values 0.
_SHORT_TAIL: Final = 0.25
_FEW_ZEROS: Final = 0.05
_ADAPTIVE_POWER: Final = 0.5  # of the magnitude, as the weight of its error
_ADAPTIVE_REACH: Final = 8.0  # times the percentile: a lone outlier takes three bits at most

# entropy, after TensorRT: 2048 linear bins, 128 levels, candidates from bin 128 on.
_LINEAR_BINS: Final = 2048
_QUANTIZED_BINS: Final = 128
_ENTROPY_BLOCK: Final = 64  # ranges; one block and its temporaries stay in the L2 cache
_REACH: Final = 15.0  # just below 2048 / 128, so that the smallest candidates reach a quantile
_REACH_PERCENTILE: Final = 99.999


def amax(values: Observed, descriptor: QuantDescriptor, *, tensor: str) -> float:
    """Return amax of one tensor by the descriptor's method, from 0 to the observed max |x|.

    A fixed amax of the descriptor is returned whatever the values, an imported one whatever the
    method. 0 means that nothing but zeros, NaN or Inf was
    observed. `tensor` names it in the error: OQ416 when the method needs a histogram and only the
    range was gathered.
    """
    if descriptor.amax is not None:
        return descriptor.amax
    if isinstance(values, ImportedAmax):
        return values.amax
    method = str(descriptor.method)
    if isinstance(values, ValueRange):
        if method == "max":
            return values.amax
        raise diagnostics.error(
            "OQ416",
            f"method '{method}' needs a histogram, and tensor '{tensor}' has only its range",
            fix="calibrate again with the histogram calibrator, or use 'method: max'",
        )
    largest = values.range.amax
    return min(METHODS[method](values, descriptor), largest) if largest else 0.0


def _method(name: str) -> Callable[[MethodFunction], MethodFunction]:
    def register(function: MethodFunction) -> MethodFunction:
        METHODS[name] = function
        return function

    return register


@_method("max")
def _max(histogram: BitHistogram, descriptor: QuantDescriptor) -> float:
    return histogram.range.amax


@_method("percentile")
def _percentile(histogram: BitHistogram, descriptor: QuantDescriptor) -> float:
    """Return the percentile of the values, with at most as many zeros as other values.

    Half zeros are what a ReLU leaves. In a sparse tensor they would make the clipped share of the
    other values large.
    """
    return quantile(with_few_zeros(histogram), descriptor.percentile)


@_method("mse")
def _mse(histogram: BitHistogram, descriptor: QuantDescriptor) -> float:
    """Return the candidate with the least squared error of clipping and rounding.

    Where values pile up the error changes from one candidate to the next as they meet a step or
    miss it, so the range around the best one is searched again.
    """
    return _weighted_mse(histogram, power=0.0)


def _weighted_mse(histogram: BitHistogram, power: float) -> float:
    """Return the candidate with the least squared error, values weighted by |x|**power."""
    coarse = histogram.range.amax * _MSE_COARSE
    best = coarse[np.argmin(squared_errors(histogram, coarse, power))]
    fine = np.minimum(best * _MSE_FINE, histogram.range.amax)
    return float(fine[np.argmin(squared_errors(histogram, fine, power))])


@_method("adaptive")
def _adaptive(histogram: BitHistogram, descriptor: QuantDescriptor) -> float:
    """Return the percentile, but of a tensor with one tail the amax that spares large values.

    One tail is what SiLU, HardSwish and GELU leave, and their sums. What is rare and large there
    makes the scores of a detector, and a percentile cuts it; so the squared error is weighted by
    the root of the magnitude. Behind a ReLU and in sums with two tails the percentile is better:
    docs/adr/0021 has the measurements.
    """
    percentile = _percentile(histogram, descriptor)
    if descriptor.dtype == "int8" and _has_one_tail(histogram):
        return min(_weighted_mse(histogram, _ADAPTIVE_POWER), _ADAPTIVE_REACH * percentile)
    return percentile


def _has_one_tail(histogram: BitHistogram) -> bool:
    """True if values of one sign are small against the others, and are no ReLU's zeros."""
    zeros = 0 if histogram is (others := without_zeros(histogram)) else histogram.counts[0]
    short, long = sorted((max(0.0, -histogram.range.minimum), max(0.0, histogram.range.maximum)))
    no_relu = short > 0 or zeros <= _FEW_ZEROS * others.counts.sum()
    return bool(short <= _SHORT_TAIL * long and no_relu)


def squared_errors(
    histogram: BitHistogram, candidates: FloatArray, power: float = 0.0
) -> FloatArray:
    """Return the sum of squared errors of all values for each candidate amax.

    A value x counts |x|**power times. With T0(b) and T1(b) the number and the sum of the magnitudes
    above b, so weighted, and boundaries b_k = (k - 1/2) * s between the steps 0, s .. 127 s, it is
    sum(x**2) - 2 s sum_k T1(b_k) + s**2 sum_k (2 k - 1) T0(b_k) over k = 1 .. 127.
    """
    magnitudes = _magnitudes(histogram)
    counts = histogram.counts * magnitudes**power
    scale = candidates / _LEVELS
    k = np.arange(1, _LEVELS + 1)
    above0, above1, first = _tails(histogram, counts, magnitudes)
    index = _first_bin_above((scale[:, None] * (k - 0.5)).astype(np.float32)) - first
    np.clip(index, 0, len(above0) - 1, out=index)
    rounded = scale**2 * (above0[index] @ (2.0 * k - 1)) - 2 * scale * above1[index].sum(axis=1)
    return np.asarray(rounded + counts @ np.square(magnitudes))


def _tails(
    histogram: BitHistogram, counts: FloatArray, magnitudes: FloatArray
) -> tuple[FloatArray, FloatArray, int]:
    """Return T0 and T1 of `squared_errors` by bin, and the bin they begin at."""
    last = int(histogram.bins[-1])
    # Half a step of the smallest candidate is 2**8 below it: smaller values round to 0 in all.
    first = max(0, last - ((_MSE_OCTAVES + 9) << MANTISSA_BITS))
    kept = histogram.bins >= first
    dense = np.zeros((2, last - first + 2))
    dense[0, histogram.bins[kept] - first] = counts[kept]
    dense[1, histogram.bins[kept] - first] = (counts * magnitudes)[kept]
    above0, above1 = np.cumsum(dense[:, ::-1], axis=1)[:, ::-1]
    return above0, above1, first


def _magnitudes(histogram: BitHistogram) -> FloatArray:
    """Return the magnitude that stands for each bin: its centre, in the last one the exact max.

    Where many values share the last bin they are mostly equal, as after a Clip or a Sigmoid.
    """
    centres = histogram.centres()
    centres[-1] = histogram.range.amax
    return centres


def _first_bin_above(magnitudes: npt.NDArray[np.float32]) -> IntArray:
    """Return the first bin whose centre is not below each magnitude."""
    half = (1 << (SHIFT - 1)) - 1
    return np.asarray((magnitudes.view(np.uint32).astype(np.int64) + half) >> SHIFT)


@_method("entropy")
def _entropy(histogram: BitHistogram, descriptor: QuantDescriptor) -> float:
    """Return the range whose 128-level form is nearest in Kullback-Leibler divergence.

    TensorRT's search over 2048 linear bins, which the bit histogram is spread over. They span
    [0, max |x|], but not over 15 times the 99.999th percentile of the values that are not zero:
    a far outlier would leave all other values in one bin.
    """
    inner = quantile(without_zeros(histogram), _REACH_PERCENTILE)
    reach = min(histogram.range.amax, _REACH * inner)
    edges = np.linspace(0.0, reach, _LINEAR_BINS + 1)
    linear, beyond = _spread(histogram, edges)
    linear[0] = linear[1]  # TensorRT's way not to let exact zeros decide
    divergence = _divergences(linear, beyond)
    best = len(divergence) - 1 - int(np.argmin(divergence[::-1]))  # ties: the larger range
    return float(edges[best + _QUANTIZED_BINS])


def _spread(histogram: BitHistogram, edges: FloatArray) -> tuple[FloatArray, float]:
    """Return the counts between linear edges, and the count beyond the last.

    Values are taken to lie evenly in their bin. The counts stay whole: fractions in the sparse
    tail would look like bins that are not empty, which the search treats differently.
    """
    ends = np.cumsum(histogram.counts)
    knots = np.stack([histogram.lower_edges(), histogram.upper_edges()], axis=1).ravel()
    below = np.stack([ends - histogram.counts, ends], axis=1).ravel()
    cumulative = np.rint(np.interp(edges, knots, below))
    return np.diff(cumulative), float(ends[-1] - cumulative[-1])


def _divergences(counts: FloatArray, beyond: float) -> FloatArray:
    """Return KL(P || Q) for the ranges of 128 .. len(counts) bins; inf where Q lacks a bin of P.

    P is the counts in the range with all that lies outside added to its last bin. Q is P without
    the outside, split into 128 intervals, the counts of each made equal over its bins that are not
    empty. Prefix sums give each interval's sums, so that a range costs 128 steps and not its bins.
    """
    ranges = np.arange(_QUANTIZED_BINS, len(counts) + 1)
    matched, last_level = _log_levels(counts)
    inside = _prefix(counts)[ranges]
    outside = counts.sum() + beyond - inside
    last = counts[ranges - 1]
    total = counts.sum() + beyond
    self_information = _prefix(_x_log_x(counts))[ranges - 1] + _x_log_x(last + outside)
    cross = matched + outside * last_level
    divergence = (self_information - cross) / total + np.log(np.maximum(inside, 1.0) / total)
    return np.where((inside == 0) | ((outside > 0) & (last == 0)), np.inf, divergence)


def _log_levels(counts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return, for each range, the sum of mass * log level over its intervals, and the last log."""
    mass_below, filled_below = _prefix(counts), _prefix(counts > 0)
    cuts = _interval_cuts(len(counts))
    matched, last = np.empty(len(cuts)), np.empty(len(cuts))
    for start in range(0, len(cuts), _ENTROPY_BLOCK):
        block = slice(start, start + _ENTROPY_BLOCK)
        mass = np.diff(mass_below.take(cuts[block]))
        filled = np.diff(filled_below.take(cuts[block]))
        log_level = np.log(np.maximum(mass, 1.0) / np.maximum(filled, 1.0))
        matched[block] = np.einsum("ij,ij->i", mass, log_level)
        last[block] = log_level[:, -1]
    return matched, last


@functools.cache
def _interval_cuts(bins: int) -> IntArray:
    """Return, for each range of 128 .. bins, where its 128 intervals begin and end (n x 129)."""
    ranges = np.arange(_QUANTIZED_BINS, bins + 1)
    return -(-ranges[:, None] * np.arange(_QUANTIZED_BINS + 1) // _QUANTIZED_BINS)


def _prefix(values: npt.NDArray[np.float64 | np.bool_]) -> FloatArray:
    return np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])


def _x_log_x(x: FloatArray) -> FloatArray:
    return x * np.log(np.maximum(x, 1.0))


def without_zeros(histogram: BitHistogram) -> BitHistogram:
    """The histogram without its lowest bin, if that holds the zeros and there is another."""
    if histogram.bins[0] != 0 or len(histogram.bins) == 1:
        return histogram
    return BitHistogram(range=histogram.range, bins=histogram.bins[1:], counts=histogram.counts[1:])


def with_few_zeros(histogram: BitHistogram) -> BitHistogram:
    """The histogram with at most as many values in the zeros' bin as in all others, if any."""
    others = without_zeros(histogram)
    if others is histogram:
        return histogram
    zeros = np.minimum(histogram.counts[:1], others.counts.sum())
    counts = np.concatenate([zeros, others.counts])
    return BitHistogram(range=histogram.range, bins=histogram.bins, counts=counts)


def quantile(histogram: BitHistogram, percentile: float) -> float:
    """Return the k-th smallest magnitude, k = ceil(percentile / 100 * n), evenly within its bin."""
    ends = np.cumsum(histogram.counts)
    rank = np.ceil(percentile / 100 * ends[-1])
    i = int(np.searchsorted(ends, rank))
    low, high = histogram.lower_edges()[i], histogram.upper_edges()[i]
    return float(high - (ends[i] - rank) / histogram.counts[i] * (high - low))
