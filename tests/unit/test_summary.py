"""Figures about a tensor against plain numpy on its values."""

import numpy as np
import pytest

from onnxq.calibration import summary
from onnxq.calibration.histogram import BitHistogram, ValueRange
from onnxq.calibration.methods import ImportedAmax
from onnxq.calibration.statistics import TensorStatistics
from onnxq.quantization import fake_tensor_quant

RNG = np.random.default_rng(0)
VALUES = {
    "normal": RNG.normal(size=50_000),
    "laplace": RNG.laplace(size=50_000) * 1e-3,
    "relu": np.maximum(RNG.laplace(size=50_000), 0),
    "outlier": np.append(RNG.normal(size=50_000), [60, -70]),
    "integers": RNG.integers(0, 256, 50_000),
}


def observed(x):
    values = BitHistogram.of(np.asarray(x, np.float32))
    return TensorStatistics(values=values, samples=1)


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_a_choice_is_what_int8_does_to_the_values(name, share):
    x = VALUES[name].astype(np.float32)
    amax = float(np.abs(x).max()) * share
    found = summary.effect(BitHistogram.of(x), amax)
    noise = fake_tensor_quant(x, amax, narrow_range=True).astype(np.float64) - x
    sqnr = 10 * np.log10(np.square(x.astype(np.float64)).sum() / np.square(noise).sum())
    assert found.sqnr_db == pytest.approx(sqnr, abs=0.3 if name == "integers" else 0.1)
    assert found.clipped == pytest.approx((np.abs(x) > amax).mean(), rel=0.02, abs=1e-3)


@pytest.mark.parametrize("name", VALUES)
def test_outliers_are_those_beyond_the_outer_fence(name):
    x = np.abs(VALUES[name])
    low, high = np.quantile(x[x > 0], [0.25, 0.75])
    found = summary.outliers(BitHistogram.of(x.astype(np.float32)))
    expected = int((x > high + 3 * (high - low)).sum())
    if not expected:
        assert found is None
    else:
        assert found.begin == pytest.approx(high + 3 * (high - low), rel=0.01)
        assert found.count == pytest.approx(expected, rel=0.05, abs=1)


def test_two_far_values_are_the_outliers():
    x = np.append(RNG.uniform(1, 2, 10_000), [60, -70]).astype(np.float32)
    assert summary.outliers(BitHistogram.of(x)).count == 2


@pytest.mark.parametrize("x", [[], [0.0], [np.nan], [5.0], [5.0] * 99])
def test_without_spread_there_are_no_outliers(x):
    assert summary.outliers(BitHistogram.of(np.array(x, np.float32))) is None


def test_columns_count_the_values_between_their_edges():
    x = np.abs(VALUES["laplace"]).astype(np.float32)
    low, high = summary.limits(BitHistogram.of(x))
    assert high == x.max()
    assert (x < low).mean() == pytest.approx(0.001, rel=0.1)
    edges = np.geomspace(low, high, 41)
    expected, _ = np.histogram(x, edges)
    np.testing.assert_allclose(summary.log_columns(BitHistogram.of(x), edges), expected, atol=30)


def test_zeros():
    assert observed([0, -0.0, 1, np.nan]).zeros == pytest.approx(2 / 3)
    assert observed([]).zeros is None
    ranged = TensorStatistics(values=ValueRange(count=1, minimum=0, maximum=0), samples=1)
    assert ranged.zeros is None


def test_amaxes_are_those_that_can_be_read():
    assert set(summary.amaxes(observed([1.0, 2.0]), 99.9)) == {
        "max",
        "percentile",
        "mse",
        "entropy",
        "adaptive",
    }
    ranged = TensorStatistics(values=ValueRange(count=2, minimum=-3, maximum=1), samples=1)
    assert summary.amaxes(ranged, 99.9) == {"max": 3}
    imported = TensorStatistics(values=ImportedAmax(amax=7.0), samples=0)
    assert summary.amaxes(imported, 99.9) == {"cache": 7}
    x = VALUES["normal"]
    assert summary.amaxes(observed(x), 90)["percentile"] == pytest.approx(
        np.quantile(np.abs(x), 0.9), rel=0.01
    )


def test_the_worst_come_first():
    x = VALUES["normal"]
    tensors = {
        "plain": observed(x),
        "nan": observed([1.0, np.nan]),
        "wild": observed(np.append(x, 1e6)),
        "some": observed(np.append(x, 50)),
        "empty": observed([]),
    }
    read = {name: summary.amaxes(t, 99.99) for name, t in tensors.items()}
    assert summary.order(tensors, read) == ["nan", "wild", "some", "plain", "empty"]
