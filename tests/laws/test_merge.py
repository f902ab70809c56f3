"""Adding statistics is a commutative monoid, exact to the byte."""

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from onnxq.calibration.histogram import BitHistogram, HistogramAccumulator, ValueRange
from onnxq.calibration.statistics import Statistics, TensorStatistics
from onnxq.feeds.samples import sample_digest

floats = st.floats(width=32, allow_nan=True, allow_infinity=True)
arrays = hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, min_side=0), elements=floats)
samples = st.dictionaries(st.sampled_from(["a", "b", "c"]), arrays, max_size=3)


def gathered(parts, calibrator="histogram", name="m"):
    """What a run over some samples gathers; each a mapping of tensor names to values."""
    total = Statistics(model_path=Path(name), model_digest="d", calibrator=calibrator)
    for sample in parts:
        observe = BitHistogram.of if calibrator == "histogram" else ValueRange.of
        total += Statistics(
            model_path=Path(name),
            model_digest="d",
            calibrator=calibrator,
            data_digest=sample_digest(sample),
            samples=1,
            tensors={n: TensorStatistics(values=observe(x), samples=1) for n, x in sample.items()},
        )
    return total


calibrations = st.builds(
    gathered, st.lists(samples, max_size=3), name=st.sampled_from(["m", "copy of m"])
)


@given(calibrations, calibrations)
def test_commutative(a, b):
    assert (a + b).digest == (b + a).digest


@given(calibrations, calibrations, calibrations)
def test_associative(a, b, c):
    assert ((a + b) + c).digest == (a + (b + c)).digest


@given(calibrations)
def test_identity(a):
    empty = Statistics(model_path=a.model_path, model_digest="d", calibrator="histogram")
    assert (a + empty).digest == (empty + a).digest == a.digest


@given(st.lists(samples, max_size=5), st.sampled_from(["histogram", "max"]), st.data())
def test_any_order_and_split_is_the_whole(parts, calibrator, data):
    shuffled = data.draw(st.permutations(parts))
    cut = data.draw(st.integers(0, len(parts)))
    split = gathered(shuffled[:cut], calibrator) + gathered(shuffled[cut:], calibrator)
    assert split.digest == gathered(parts, calibrator).digest


@given(st.lists(arrays, max_size=5))
def test_merged_is_what_one_accumulator_sees(parts):
    accumulator = HistogramAccumulator()
    merged = BitHistogram()
    for part in parts:
        accumulator.observe(part)
        merged += BitHistogram.of(part)
    whole = accumulator.freeze()
    assert merged.range == whole.range
    assert merged.bins.tolist() == whole.bins.tolist()
    assert merged.counts.tolist() == whole.counts.tolist()
    assert merged.counts.sum() == sum(np.isfinite(part).sum() for part in parts)


@given(calibrations)
@settings(max_examples=30)
def test_saved_and_loaded_is_the_same(tmp_path_factory, a):
    path = tmp_path_factory.mktemp("laws") / "c.npz"
    a.save(path)
    assert Statistics.load(path).digest == a.digest
