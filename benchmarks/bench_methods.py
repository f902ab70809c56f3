"""What reading amax of 300 tensors costs, method by method; the target is 1 s a method.

Run: python benchmarks/bench_methods.py. The tensors are different ones: a method that met the same
histogram again could profit from caches. Rounds alternate between the methods in one process, and
medians are printed, with the ratio to reading all 300 of the calibration file.
"""

import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from onnxq.calibration.histogram import BitHistogram
from onnxq.calibration.methods import METHODS
from onnxq.calibration.statistics import Statistics, TensorStatistics
from onnxq.descriptor import QuantDescriptor

TENSORS = 300
VALUES = 400_000
ROUNDS = 5


def observed(seed):
    """Statistics of a tensor, of one of the kinds that networks have."""
    rng = np.random.default_rng(seed)
    x = rng.laplace(size=VALUES) * 2.0 ** (seed % 7 - 3)
    if seed % 3 == 1:
        x = np.maximum(x, 0)
    if seed % 3 == 2:
        x = x / (1 + np.exp(-x))  # SiLU
    if seed % 5 == 0:
        x[:3] = 50 * np.abs(x).max()
    return TensorStatistics(values=BitHistogram.of(x.astype(np.float32)), samples=1)


def seconds(work):
    """Return how long one call of `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main():
    """Print the table."""
    statistics = Statistics(
        model_digest="d",
        calibrator="histogram",
        tensors={f"t{i}": observed(i) for i in range(TENSORS)},
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.npz"
        statistics.save(path)
        size = path.stat().st_size

        def reader(method):
            descriptor = QuantDescriptor(method=method)
            tensors = statistics.tensors.items()
            return lambda: [t.amax(descriptor, tensor=name) for name, t in tensors]

        ways = {"load the file": lambda: Statistics.load(path)}
        ways |= {method: reader(method) for method in METHODS}
        rounds = [{name: seconds(work) for name, work in ways.items()} for _ in range(ROUNDS)]
    times = {name: median(r[name] for r in rounds) for name in ways}
    bins = sum(len(t.histogram.bins) for t in statistics.tensors.values()) / TENSORS
    print(f"{TENSORS} tensors of {bins:,.0f} bins, {size / 1e6:.2f} MB")
    for name, time_s in times.items():
        print(f"  {name:14} {time_s:7.3f} s  {time_s / times['load the file']:6.2f} x load")


if __name__ == "__main__":
    main()
