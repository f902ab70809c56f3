"""Factors that make the channels of an activation alike, so that one INT8 scale fits them all.

After SmoothQuant (Xiao et al., 2022, arXiv 2211.10438) and data-free quantization (Nagel et al.,
2019, arXiv 1906.04721): an activation is divided by factors, its readers' weights are multiplied by
them. The exponents of the ranges are searched for every tensor, as AWQ does (Lin et al., 2023,
arXiv 2306.00978), by the noise that activation and weights together bring into the products.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration.histogram import HistogramAccumulator
from onnxq.calibration.statistics import TensorStatistics
from onnxq.descriptor import QuantDescriptor
from onnxq.improvement.channels.readers import Blocks
from onnxq.improvement.channels.sites import Half, Rows, Site
from onnxq.model.graph import Graph
from onnxq.quantization import INT8_MAX, SMALLEST_AMAX

Factors = NDArray[np.float64]
_EXPONENTS: Final = (0.25, 0.5, 0.75, 1.0)  # of a channel's range
_AGAINST: Final = (0.0, 0.25)  # of the range of its weights
_OUTPUTS: Final = 64  # of a group whose weights are rounded in each trial
_SMALLEST: Final = 1e-3  # channel, relative to the largest; smaller ones would overflow


Observed = tuple[Site, Half, Half]  # what the even and the odd samples give at a site


def factors(graph: Graph, observed: Sequence[Observed]) -> tuple[Factors, float]:
    """The factors that sites share, one a channel, and the share of the noise that they leave.

    They are ones, and the share 1, where no other factors are better. Ranges come from one half of
    the samples and the noise from the other, as the largest values of few samples are no bound.
    """
    noises = [_Noise(graph, *each) for each in observed]
    ones = np.ones(observed[0][1].rows.shape[1])
    first = sum(noise.of(ones) for noise in noises)
    if not first:
        return ones, 1.0
    weights = np.max([noise.ranges for noise in noises], axis=0)
    even = np.concatenate([half.largest for _, half, _ in observed])
    odd = np.concatenate([half.largest for _, _, half in observed])
    trials = list(_candidates(even, weights))
    losses = [sum(noise.of(trial) for noise in noises) for trial in trials]
    best = int(np.argmin(losses))
    if not losses[best] < first:  # or it is NaN
        return ones, 1.0
    return list(_candidates(np.concatenate((even, odd)), weights))[best], losses[best] / first


def _candidates(largest: Rows, weights: Factors) -> Iterator[Factors]:
    """Powers of the ranges of channels: of their largest values, and of those of a usual sample."""
    for ranges in (largest.max(axis=0), largest.mean(axis=0)):
        bounded = _bounded(ranges)
        for exponent in _EXPONENTS:
            for against in _AGAINST:
                powers = bounded**exponent / weights**against
                yield powers / np.exp(np.log(powers).mean())


def _bounded(ranges: NDArray[np.float32] | Factors) -> Factors:
    """Ranges, none of them far below the largest; ones where all are zero."""
    largest = float(ranges.max(initial=0))
    if largest <= SMALLEST_AMAX:
        return np.ones(ranges.shape)
    return np.maximum(ranges.astype(np.float64), largest * _SMALLEST)


def _weight_ranges(weights: Iterable[Blocks]) -> Factors:
    """The largest magnitude of the weights that a channel is multiplied by."""
    ranges = [np.abs(blocks).max(axis=(1, 3)).reshape(-1) for blocks in weights]
    return _bounded(np.max(ranges, axis=0))


def _some_outputs(blocks: Blocks) -> tuple[Blocks, float]:
    """The weights of some output channels, and how many each stands for."""
    every = -(-blocks.shape[1] // _OUTPUTS)
    some = blocks[:, ::every]
    return some, blocks.shape[1] / some.shape[1]


class _Noise:
    """The power of the noise in the products of a site, relative to that of the products.

    Each place counts by its own power: rare large values, which clipping and rounding move far,
    would decide alone otherwise, and they matter less at the outputs than their power says.
    """

    def __init__(self, graph: Graph, site: Site, even: Half, odd: Half) -> None:
        readers = [(r, r.blocks(graph.array(r.weight))) for r in site.readers]
        self.ranges = _weight_ranges(blocks for _, blocks in readers)
        self._gains = sum((_by_input(blocks) for _, blocks in readers), np.zeros(()))
        self._some = [_some_outputs(blocks) for _, blocks in readers]
        self._site, self._even, self._odd = site, even, odd
        power = np.square(odd.rows).sum(axis=1, dtype=np.float64)
        weight = 1 / np.maximum(power + power.mean(), SMALLEST_AMAX**2)
        self._places = np.asarray(weight / weight.sum(), np.float32)
        self._power = self._mean_square(odd.rows)

    def of(self, factors: Factors) -> float:
        """The noise for an activation that is divided by `factors`."""
        shrunk = np.asarray(1 / factors, np.float32)
        even = np.concatenate((self._even.rows, self._even.amax[None])) * shrunk
        odd, step = self._odd.rows * shrunk, self._step(even)
        rounded = np.clip(np.rint(odd / step), -INT8_MAX - 1, INT8_MAX) * step
        activation = self._mean_square(rounded - odd)
        noise = float(activation @ (self._gains * factors**2))
        for blocks, share in self._some:
            scaled = blocks * factors.astype(np.float32).reshape(len(blocks), 1, -1, 1)
            noise += share * float((self._power / factors**2) @ _by_input(_rounding(scaled)))
        signal = float(self._power @ self._gains)
        return noise / signal if signal else 0.0

    def _mean_square(self, rows: Rows) -> Factors:
        """The mean of the squares of every channel over all places, by their weight."""
        return np.asarray(self._places @ np.square(rows), np.float64)

    def _step(self, values: Rows) -> np.float32:
        """The scale that the pair's method gives these values."""
        pair = self._site.pair
        return np.float32(_amax(values, pair.descriptor, pair.tensor) / INT8_MAX)


def _amax(values: Rows, descriptor: QuantDescriptor, tensor: str) -> float:
    accumulator = HistogramAccumulator()
    accumulator.observe(np.ascontiguousarray(values))
    statistics = TensorStatistics(values=accumulator.freeze(), samples=1)
    return max(statistics.amax(descriptor, tensor=tensor), SMALLEST_AMAX)


def _rounding(blocks: Blocks) -> Blocks:
    """What rounding to INT8 with one scale an output channel does to weights."""
    largest = np.abs(blocks).max(axis=(2, 3), keepdims=True)
    step = np.maximum(largest, SMALLEST_AMAX) / INT8_MAX
    return np.asarray(np.rint(blocks / step) * step - blocks)


def _by_input(blocks: Blocks) -> Factors:
    """Sums of squares over outputs and taps, one an input channel."""
    return np.asarray(np.square(blocks).sum(axis=(1, 3), dtype=np.float64).reshape(-1))
