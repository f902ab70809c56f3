"""What observing costs, against copying the same values with numpy, and what reading amax costs.

Run: python benchmarks/bench_histogram.py. Alternates all ways in one process and prints medians;
the ratios matter, not the nanoseconds, which depend on the machine and on what else it does.
"""

import time
from statistics import median

import numpy as np

from onnxq.calibration.histogram import BitHistogram, HistogramAccumulator, RangeAccumulator
from onnxq.calibration.methods import METHODS, amax
from onnxq.calibration.weight_methods import weight_amax
from onnxq.descriptor import QuantDescriptor

ROUNDS = 15


def inputs():
    """Return the arrays to observe, by title."""
    rng = np.random.default_rng(0)
    normal = rng.standard_normal(4_000_000).astype(np.float32)
    return {
        "normal, one array of 4 M": [normal],
        "ReLU6, one array of 4 M": [np.clip(6 * normal, 0, 6)],
        "zeros, one array of 4 M": [np.zeros_like(normal)],
        "normal, 74 tensors of 158 k": [
            rng.standard_normal(158_000).astype(np.float32) for _ in range(74)
        ],
    }


def seconds(work):
    """Return how long one call of `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def alternating(ways):
    """Return the median seconds of each way; the first round warms up."""
    for work in ways.values():
        work()
    rounds = [{name: seconds(work) for name, work in ways.items()} for _ in range(ROUNDS)]
    return {name: median(r[name] for r in rounds) for name in ways}


def observing(arrays):
    """Return the ways to go through the arrays once, by name."""
    targets = [np.empty_like(x) for x in arrays]
    ranges = [RangeAccumulator() for _ in arrays]
    histograms = [HistogramAccumulator() for _ in arrays]

    def through(function, *columns):
        return lambda: [function(*row) for row in zip(*columns, strict=True)]

    return {
        "copy": through(np.copyto, targets, arrays),
        "np.abs(x).max()": through(lambda x: np.abs(x).max(), arrays),
        "max calibrator": through(lambda a, x: a.observe(x), ranges, arrays),
        "histogram calibrator": through(lambda a, x: a.observe(x), histograms, arrays),
    }


def main():
    """Print the tables."""
    for title, arrays in inputs().items():
        print(title)
        times = alternating(observing(arrays))
        values = sum(x.size for x in arrays)
        for name, time_s in times.items():
            ratio = time_s / times["copy"]
            print(f"  {name:22} {ratio:6.2f} x copy  {time_s / values * 1e9:6.2f} ns/value")

    x = np.random.default_rng(1).laplace(size=4_000_000).astype(np.float32)
    histogram = BitHistogram.of(x)
    print(f"amax of 300 tensors of {len(histogram.bins)} bins each")
    descriptors = {m: QuantDescriptor(method=m) for m in METHODS}
    ways = {m: lambda d=d: amax(histogram, d, tensor="x") for m, d in descriptors.items()}
    for name, time_s in alternating(ways).items():
        print(f"  {name:22} {time_s * 300:8.3f} s")

    weight = np.random.default_rng(2).standard_normal((512, 512, 3, 3)).astype(np.float32)
    print("per-channel amax of a 512 x 512 x 3 x 3 weight")
    ways = {m: lambda m=m: weight_amax(weight, 0, m) for m in ("max", "mse")}
    for name, time_s in alternating(ways).items():
        print(f"  {name:22} {time_s:8.3f} s")


if __name__ == "__main__":
    main()
