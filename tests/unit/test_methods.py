"""amax by each method: parity with pytorch-quantization, the methods' own criteria, edge cases."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from onnxq.calibration import methods
from onnxq.calibration.histogram import BitHistogram, ValueRange
from onnxq.calibration.methods import METHODS, amax
from onnxq.calibration.weight_methods import weight_amax
from onnxq.descriptor import QuantDescriptor
from onnxq.diagnostics import OnnxqError
from onnxq.quantization import fake_tensor_quant

PARITY = json.loads(
    (Path(__file__).parents[2] / "fixtures" / "calibration_parity.json").read_text()
)["amax"]
CASES = [(name, key) for name, figures in PARITY.items() for key in figures]

# Not within 2 %, but better by the criterion: see test_a_departure_from_parity_is_better.
BETTER = [("growing", "entropy")]


def batches(name):
    """The inputs of the fixture: 4 batches of 20000 float32."""
    rng = np.random.Generator(np.random.PCG64(7))
    for i in range(4):
        draw = rng.laplace if name.endswith("laplace") else rng.standard_normal
        batch = draw(size=20000).astype(np.float32)
        if name == "relu_laplace":
            batch = np.maximum(batch, 0)
        if name == "outlier" and i == 0:
            batch[0] = 60
        if name == "growing":
            batch *= np.float32(1 + i)
        yield batch


def values(name):
    return np.concatenate(list(batches(name)))


def descriptor(key):
    method, _, percentile = key.partition(" ")
    return QuantDescriptor(method=method, percentile=float(percentile or 99.99))


def read(x, key):
    histogram = x if isinstance(x, BitHistogram) else BitHistogram.of(np.asarray(x, np.float32))
    return amax(histogram, descriptor(key), tensor="x")


def squared_error(x, limit):
    return np.square(fake_tensor_quant(x, limit, narrow_range=True).astype(np.float64) - x).mean()


def exact_divergences(x):
    """The entropy method's criterion over the exact 2048-bin linear histogram, as TensorRT has it.

    Written as TensorRT's and pytorch-quantization's loop is, for every range of 128 .. 2048 bins.
    """
    magnitudes = np.abs(x).astype(np.float64)
    bins, edges = np.histogram(magnitudes, bins=2048, range=(0, magnitudes.max()))
    bins[0] = bins[1]
    divergences = {}
    for i in range(128, 2049):
        p = bins[:i].astype(np.float64)
        filled = p > 0
        interval = np.digitize(np.arange(i), np.linspace(0, i, 129)) - 1
        mass = np.bincount(interval[filled], p[filled], 128)
        members = np.bincount(interval[filled], minlength=128)
        level = mass / np.maximum(members, 1)
        q = np.where(filled, level[interval], 0)
        p[-1] += bins[i:].sum()
        divergences[edges[i]] = kl_divergence(p, q)
    return divergences


def kl_divergence(p, q):
    p, q = p / p.sum(), q / q.sum()
    used = p > 0
    with np.errstate(divide="ignore"):
        return float((p[used] * np.log(p[used] / q[used])).sum())


@pytest.mark.parametrize(("name", "key"), [c for c in CASES if c not in BETTER])
def test_parity_within_two_percent(name, key):
    expected = PARITY[name][key]
    assert read(values(name), key) == pytest.approx(expected, rel=0.0 if key == "max" else 0.02)


@pytest.mark.parametrize(("name", "key"), BETTER)
def test_a_departure_from_parity_is_better(name, key):
    """pytorch-quantization's bins grew with the batches here: 7785, as wide as the first's need.

    Over the exact histogram of all values onnxq's amax has the lower divergence, even when the
    neighbouring bins may speak for pytorch-quantization's.
    """
    x = values(name)
    divergences = exact_divergences(x)
    edges = np.array(list(divergences))

    def divergence(limit, slack):
        nearest = int(np.argmin(np.abs(edges - limit)))
        return min(divergences[e] for e in edges[max(0, nearest - slack) : nearest + slack + 1])

    assert divergence(read(x, key), 0) < divergence(PARITY[name][key], 3)


@pytest.mark.parametrize("name", PARITY)
def test_batches_merged_in_any_order_read_the_same(name):
    parts = [BitHistogram.of(batch) for batch in batches(name)]
    forward, backward = sum(parts[1:], parts[0]), sum(parts[-2::-1], parts[-1])
    for key in PARITY[name]:
        assert read(forward, key) == read(backward, key) == read(values(name), key)


def test_vectorised_divergences_equal_the_loop():
    x = values("laplace")
    expected = exact_divergences(x)
    counts, _ = np.histogram(np.abs(x).astype(float), 2048, (0, float(np.abs(x).max())))
    counts = counts.astype(np.float64)
    counts[0] = counts[1]
    ours = methods._divergences(counts, 0.0)
    np.testing.assert_allclose(ours, list(expected.values()), rtol=1e-9, atol=1e-12)
    assert np.isinf(ours).any()


@pytest.mark.parametrize("name", PARITY)
def test_mse_has_the_least_error_of_a_fine_grid(name):
    x = values(name)
    best = min(squared_error(x, f * np.abs(x).max()) for f in np.linspace(0.05, 1, 400))
    assert squared_error(x, read(x, "mse")) <= best * 1.005


@pytest.mark.parametrize("name", PARITY)
def test_squared_errors_from_the_histogram_are_those_of_the_values(name):
    x = values(name)
    limits = np.abs(x).max() * np.array([1.0, 0.7, 0.31, 0.1, 0.03, 0.002])
    exact = [squared_error(x, limit) * len(x) for limit in limits]
    ours = methods.squared_errors(BitHistogram.of(x), limits)
    np.testing.assert_allclose(ours, exact, rtol=0.01)


def piled(seed, *, share=0.5, at=0.73, width=0.0):
    """Values of which many are the same, or nearly, and a few are larger."""
    rng = np.random.default_rng(seed)
    pile = at * (1 + width * rng.uniform(-1, 1, int(40_000 * share)))
    rest = rng.exponential(0.02, 40_000 - len(pile))
    return np.concatenate([pile, rest, [1.0, 1.3]]).astype(np.float32)


PILES = {
    "most": piled(0, share=0.97),
    "half": piled(1),
    "nearly equal": piled(2, share=0.9, width=1e-3),
    "two piles": np.concatenate([piled(3, share=0.9), piled(4, share=0.9, at=0.5)]),
    "a saturated output": 1 / (1 + np.exp(-np.random.default_rng(5).normal(8, 1, 40_000))),
    "clipped below the largest": np.append(
        np.minimum(np.random.default_rng(6).exponential(8, 40_000), 6), [6.04] * 3
    ),
    "steps of another quantizer": np.append(
        np.random.default_rng(7).integers(0, 40, 40_000) * 0.037, 1.7
    ),
}


@pytest.mark.parametrize("name", PILES)
def test_mse_finds_the_least_error_where_values_pile_up(name):
    """To half a dB of a grid that has 20 steps in one of the search's own."""
    x = PILES[name].astype(np.float32)
    limits = x.max() * np.exp2(-np.arange(64 * 20) / (64 * 20))
    best = min(squared_error(x, limit) for limit in limits)
    resolution = np.square(x / 1024).mean()  # what one bin of the histogram can hide
    assert squared_error(x, read(x, "mse")) <= best * 1.12 + resolution


@pytest.mark.parametrize("name", PILES)
def test_weight_mse_finds_the_least_error_where_values_pile_up(name):
    x = PILES[name].astype(np.float32)
    limits = x.max() * np.linspace(0.2, 1, 80 * 20 + 1)
    best = min(squared_error(x, limit) for limit in limits)
    step = x.max() * 0.01 / 32
    (found,) = weight_amax(x[None], 0, "mse")
    assert squared_error(x, found) <= best * 1.3 + np.square(step) / 3


@pytest.mark.parametrize("percentile", [1.0, 50.0, 99.0, 99.9, 99.999, 100.0])
def test_percentile_is_the_exact_order_statistic_to_one_bin(percentile):
    x = values("laplace")
    ranked = np.sort(np.abs(x))
    exact = ranked[int(np.ceil(percentile / 100 * len(x))) - 1]
    assert read(x, f"percentile {percentile}") == pytest.approx(exact, rel=1 / 512)


def test_percentile_100_is_the_maximum():
    x = values("laplace")
    assert read(x, "percentile 100") == np.abs(x).max()


ODD = {
    "one value": np.full(1000, 6.0),
    "zeros and one value": np.where(np.arange(1000) % 10, 0.0, 6.0),
    "two values": np.tile([1.0, 100.0], 500),
    "a single 3": np.array([3.0]),
    "a far outlier": np.append(np.random.default_rng(0).standard_normal(100_000), 1e6),
    "outlier among zeros": np.append(np.zeros(100_000), 5.0),
    "denormals": np.array([1e-45, 3e-45, 1e-42, 0.0]),
    "huge": np.array([3.4028235e38, -1e38, 1.0]),
    "negative only": -np.random.default_rng(1).exponential(size=5000),
    "clipped": np.clip(np.random.default_rng(2).standard_normal(5000) * 6, 0, 6),
    "integers": np.random.default_rng(3).integers(-9, 10, 5000),
    "with nan and inf": np.append(np.random.default_rng(4).standard_normal(5000), [np.nan, np.inf]),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ODD)
def test_amax_is_positive_and_within_the_observed(name, method):
    x = ODD[name].astype(np.float32)
    result = read(x, method)
    assert 0 < result <= np.abs(x[np.isfinite(x)]).max()
    assert isinstance(result, float)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("x", [np.zeros(100), -np.zeros(3), np.zeros(0), [np.nan], [np.inf, 0.0]])
def test_amax_is_zero_when_only_zeros_were_seen(x, method):
    assert read(x, method) == 0.0


@pytest.mark.parametrize("method", ["max", "mse"])
def test_a_single_value_is_its_own_amax(method):
    assert read(ODD["one value"], method) == 6.0
    assert read(ODD["zeros and one value"], method) == 6.0


def test_entropy_cuts_an_outlier_however_far():
    """With 2048 bins over all of 0 .. 1e6 every other value would share the first bin."""
    assert read(ODD["a far outlier"], "entropy") < 10


def test_max_reads_a_range_and_other_methods_need_a_histogram():
    seen = ValueRange(count=3, minimum=-2.0, maximum=1.0)
    assert amax(seen, QuantDescriptor(calibrator="max"), tensor="x") == 2.0
    with pytest.raises(OnnxqError, match=re.escape("[OQ416]")) as caught:
        amax(seen, QuantDescriptor(method="mse"), tensor="conv1/out")
    assert "'conv1/out'" in str(caught.value)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_weight_amax_max_is_exact(axis):
    w = np.random.default_rng(5).standard_normal((6, 5, 3)).astype(np.float32)
    result = weight_amax(w, axis)
    others = tuple(i for i in range(3) if i != axis % 3)
    np.testing.assert_array_equal(result, np.abs(w).max(axis=others))
    assert result.dtype == np.float32


@pytest.mark.parametrize("axis", [0, 1])
def test_weight_amax_mse_has_the_least_error(axis):
    w = np.random.default_rng(6).standard_t(3, size=(70, 60, 5, 5)).astype(np.float32)
    result = weight_amax(w, axis, "mse")
    for channel in range(0, w.shape[axis], 7):
        row = np.take(w, channel, axis).ravel()
        grid = np.float32(np.abs(row).max()) * np.linspace(0.2, 1, 81)
        best = min(squared_error(row, limit) for limit in grid)
        assert squared_error(row, result[channel]) <= best * (1 + 1e-4)
        assert result[channel] <= np.abs(row).max()
    assert squared_error(w, result.max()) > 0


def test_weight_amax_mse_counts_on_the_lowest_step():
    row = np.float32([[-8, 1, 2, 3, 4, 5, 6, 7]])
    (found,) = weight_amax(row, 0, "mse", levels=7, lowest=-8)
    assert found == pytest.approx(7, rel=1e-6)  # at which all are steps
    assert weight_amax(row, 0, "mse", levels=7)[0] > found
    assert weight_amax(-row, 0, "mse", levels=7, lowest=-8)[0] > found


@pytest.mark.parametrize("method", ["max", "mse"])
def test_weight_amax_of_zero_and_single_valued_channels(method):
    w = np.array([[0, 0, 0], [0.5, -0.5, 0.5], [-2, 0, 0]], np.float32)
    assert weight_amax(w, 0, method).tolist() == [0.0, 0.5, 2.0]
    assert weight_amax(np.zeros((0, 4), np.float32), 0, method).shape == (0,)
    assert weight_amax(np.zeros((4, 0), np.float32), 0, method).tolist() == [0.0] * 4


def test_weight_amax_refuses_what_it_cannot_read():
    w = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="out of range"):
        weight_amax(w, 2)
    with pytest.raises(ValueError, match="'entropy' does not read weights"):
        weight_amax(w, 0, "entropy")
    with pytest.raises(ValueError, match="NaN or infinite"):
        weight_amax(np.array([[np.nan]], np.float32), 0)


def test_percentile_of_a_sparse_tensor_is_that_of_what_is_not_zero():
    values = np.zeros(100_000, np.float32)
    values[:5] = 0.05
    assert read(values, "percentile") == pytest.approx(0.05, rel=1e-2)


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.2])
def test_percentile_counts_as_many_zeros_as_other_values(share):
    rng = np.random.default_rng(8)
    x = np.where(rng.random(400_000) < share, rng.gamma(2, 1, 400_000), 0).astype(np.float32)
    ranked = np.sort(x[x > 0])
    clipped = len(ranked) - np.ceil(0.998 * 2 * len(ranked) - len(ranked))
    assert np.count_nonzero(x > read(x, "percentile 99.8")) == pytest.approx(clipped, abs=2)


def test_percentile_counts_all_zeros_where_they_are_the_minority():
    x = np.maximum(np.random.default_rng(9).normal(0.1, 1, 100_000), 0).astype(np.float32)
    exact = np.sort(x)[int(np.ceil(0.9999 * len(x))) - 1]
    assert read(x, "percentile") == pytest.approx(exact, rel=1 / 512)


RNG = np.random.default_rng(11)
TWO_TAILS = RNG.laplace(size=50_000)
SILU = TWO_TAILS * 4 / (1 + np.exp(-TWO_TAILS * 4))
ONE_TAIL = {
    "silu": SILU,
    "a sum of silus": SILU + RNG.permutation(SILU) + RNG.permutation(SILU),
    "its negative": -SILU,
    "hard swish": TWO_TAILS * 4 * np.clip(TWO_TAILS * 4 + 3, 0, 6) / 6,
    "a picture": RNG.integers(0, 256, 50_000),
}
OTHERS = {
    "relu": np.maximum(TWO_TAILS, 0),
    "two tails, one shorter": np.maximum(TWO_TAILS, -TWO_TAILS.max() / 2),
    "two tails": TWO_TAILS,
    "sparse": np.where(RNG.random(50_000) < 0.3, RNG.gamma(2, 1, 50_000), 0),
}


@pytest.mark.parametrize("name", ONE_TAIL)
def test_adaptive_weighs_errors_by_the_root_of_the_magnitude_for_one_tail(name):
    x = np.asarray(ONE_TAIL[name], np.float32)

    def loss(limit):
        error = fake_tensor_quant(x, limit, narrow_range=True).astype(np.float64) - x
        return (np.sqrt(np.abs(x)) * np.square(error)).mean()

    best = min(loss(np.abs(x).max() * share) for share in np.linspace(0.2, 1, 401))
    if name == "a picture":  # whole numbers: the loss depends on which of them meet a step
        assert read(x, "adaptive") == 255
    else:
        assert loss(read(x, "adaptive")) <= 1.01 * best
        assert read(x, "mse") < read(x, "adaptive") < np.abs(x).max()


@pytest.mark.parametrize("name", OTHERS)
def test_adaptive_is_the_percentile_for_others(name):
    assert read(OTHERS[name], "adaptive") == read(OTHERS[name], "percentile")
    assert read(OTHERS[name], "adaptive") != read(OTHERS[name], "mse")


def test_adaptive_takes_its_percentile_and_has_one_for_fp8():
    x = BitHistogram.of(SILU.astype(np.float32))
    fp8 = QuantDescriptor(method="adaptive", dtype="fp8e4m3", percentile=99.0)
    assert amax(x, fp8, tensor="x") == read(x, "percentile 99.0")
    assert str(fp8) == "fp8e4m3:per_tensor:adaptive(99.0)"
    assert QuantDescriptor.parse(str(fp8)) == fp8
