"""The bit histogram against plain numpy."""

import math
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest

from onnxq.calibration import histogram
from onnxq.calibration.counting import Counting
from onnxq.calibration.histogram import (
    SHIFT,
    BitHistogram,
    HistogramAccumulator,
    RangeAccumulator,
    SparseAccumulator,
    ValueRange,
)


def reference(x):
    """Count with numpy alone."""
    finite = x[np.isfinite(x)]
    bins, counts = np.unique(np.abs(finite).view(np.uint32) >> SHIFT, return_counts=True)
    return bins, counts


def assert_counts(result, x):
    bins, counts = reference(x)
    np.testing.assert_array_equal(result.bins, bins)
    np.testing.assert_array_equal(result.counts, counts)
    assert (result.bins.dtype, result.counts.dtype) == (np.uint32, np.int64)
    assert result.counts.sum() == result.range.finite


@pytest.mark.parametrize("size", [1, 2, 3, 16383, 16384, 16385, 100_001])
def test_counts_equal_numpy(size):
    x = np.random.default_rng(size).standard_normal(size).astype(np.float32)
    result = BitHistogram.of(x)
    assert_counts(result, x)
    assert result.range == ValueRange(count=size, minimum=float(x.min()), maximum=float(x.max()))


def test_every_bit_pattern_is_counted_once():
    x = np.arange(0, 2**32, 40_009, dtype=np.uint64).astype(np.uint32).view(np.float32)
    result = BitHistogram.of(x)
    assert_counts(result, x)
    assert result.range.count == len(x)
    assert result.range.nan == np.isnan(x).sum() > 0
    assert result.range.minimum == x[np.isfinite(x)].min()
    assert result.range.maximum == x[np.isfinite(x)].max()


@pytest.mark.parametrize("make", [HistogramAccumulator, SparseAccumulator, RangeAccumulator])
@pytest.mark.parametrize(
    "x",
    [
        [1.5, -2.5, 0.25],
        [-1.0, -3.0],
        [2.0, 3.0],
        [0.0, -0.0],
        [np.nan, 1.0, np.inf, -np.inf, -2.0],
        [-np.nan, 1.0],
        [1e-45, -1e-45, 3.4028235e38],
    ],
)
def test_range_is_exact(make, x):
    x = np.array(x, np.float32)
    accumulator = make()
    accumulator.observe(x)
    frozen = accumulator.freeze()
    seen = frozen if isinstance(frozen, ValueRange) else frozen.range
    finite = x[np.isfinite(x)]
    assert seen == ValueRange(
        count=len(x),
        nan=int(np.isnan(x).sum()),
        inf=int(np.isinf(x).sum()),
        minimum=float(finite.min()),
        maximum=float(finite.max()),
    )
    assert seen.amax == np.abs(finite).max()
    assert math.copysign(1, seen.minimum) == (1 if seen.minimum == 0 else np.sign(seen.minimum))


@pytest.mark.parametrize("make", [HistogramAccumulator, SparseAccumulator, RangeAccumulator])
@pytest.mark.parametrize("x", [np.zeros(0, np.float32), np.full(3, np.nan, np.float32)])
def test_without_a_finite_value_amax_is_zero(make, x):
    accumulator = make()
    accumulator.observe(x)
    frozen = accumulator.freeze()
    seen = frozen if isinstance(frozen, ValueRange) else frozen.range
    assert (seen.count, seen.nan, seen.finite, seen.amax) == (len(x), len(x), 0, 0.0)


@pytest.mark.parametrize("make", [HistogramAccumulator, SparseAccumulator])
@pytest.mark.parametrize("size", [3_000, 50_000])  # a sparse one keeps small arrays for a while
def test_parts_count_as_the_whole(make, size):
    x = np.random.default_rng(1).laplace(size=size).astype(np.float32)
    accumulator = make()
    for part in np.array_split(x, 7):
        accumulator.observe(part)
        accumulator.freeze()
    assert_counts(accumulator.freeze(), x)
    assert_counts(BitHistogram.of(x[:13]) + BitHistogram.of(x[13:]), x)


def test_a_frozen_histogram_does_not_change():
    accumulator = HistogramAccumulator()
    accumulator.observe(np.ones(5, np.float32))
    frozen = accumulator.freeze()
    accumulator.observe(np.ones(5, np.float32))
    assert frozen.counts.tolist() == [5]
    assert accumulator.freeze().counts.tolist() == [10]


def test_32_bit_counters_do_not_overflow():
    accumulator = HistogramAccumulator()
    accumulator.observe(np.ones(1, np.float32))
    # Counting 2**32 values would take minutes: start where that leaves a counter.
    one = int(np.flatnonzero(accumulator._rows)[0])
    accumulator._rows[one] = accumulator._pending = 2**32 - 5
    accumulator.observe(np.ones(20, np.float32))
    result = accumulator.freeze()
    assert result.bins.tolist() == [one]
    assert result.counts.tolist() == [2**32 - 5 + 20]


def test_edges_hold_the_values():
    x = np.random.default_rng(3).standard_normal(10_000).astype(np.float32)
    result = BitHistogram.of(x)
    low, high = result.lower_edges(), result.upper_edges()
    magnitudes = np.sort(np.abs(x).astype(np.float64))
    owner = np.repeat(np.arange(len(result.bins)), result.counts)
    assert np.all(low[owner] <= magnitudes)
    assert np.all(magnitudes <= high[owner])
    assert high[-1] == magnitudes[-1]
    # 9 mantissa bits: a bin is at most 1/512 of its magnitude wide.
    assert np.all((high - low)[1:] <= low[1:] / 512)
    np.testing.assert_array_equal(result.centres(), (low + high) / 2)


@pytest.mark.parametrize("order", ["C", "F"])
def test_contiguous_arrays_are_read_in_place(order):
    x = np.random.default_rng(4).standard_normal((30, 40, 5)).astype(np.float32, order=order)
    assert np.shares_memory(histogram._flat(x), x)
    assert_counts(BitHistogram.of(x), x.ravel())


def test_views_read_only_and_unaligned_arrays_are_read():
    x = np.random.default_rng(5).standard_normal((30, 40)).astype(np.float32)
    assert_counts(BitHistogram.of(x[::2, 1::3]), x[::2, 1::3].ravel())
    unaligned = np.frombuffer(b"-" + x.tobytes(), np.float32, offset=1)
    assert not unaligned.flags.aligned
    assert not unaligned.flags.writeable
    assert_counts(BitHistogram.of(unaligned), x.ravel())
    assert BitHistogram.of(np.float32(2.5).reshape(())).range.maximum == 2.5


@pytest.mark.parametrize("make", [HistogramAccumulator, SparseAccumulator, RangeAccumulator])
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, ">f4"])
def test_other_types_are_refused(make, dtype):
    with pytest.raises(TypeError, match="only float32"):
        make().observe(np.ones(3, dtype))


def test_threads_with_their_own_accumulators_agree():
    x = np.random.default_rng(6).standard_normal(200_000).astype(np.float32)
    accumulators = [HistogramAccumulator() for _ in range(4)]
    threads = [threading.Thread(target=a.observe, args=(x,)) for a in accumulators]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for accumulator in accumulators:
        assert_counts(accumulator.freeze(), x)


def test_numba_is_imported_with_the_first_accumulator_only():
    code = (
        "import sys, numpy as np\n"
        "from onnxq.calibration.histogram import *\n"
        "RangeAccumulator().observe(np.ones(2, np.float32))\n"
        "BitHistogram() + BitHistogram()\n"
        "assert 'numba' not in sys.modules\n"
        "HistogramAccumulator()\n"
        "assert 'numba' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_many_tensors_do_not_take_a_megabyte_each():
    names = [f"t{number}" for number in range(3000)]
    values = {name: np.ones(16, np.float32) for name in names}
    tracemalloc.start()
    with Counting(names, "histogram") as counting:
        counting.observe(values)
        frozen = counting.freeze()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**28
    assert {int(histogram.counts.sum()) for histogram in frozen.values()} == {16}
