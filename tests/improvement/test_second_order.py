"""Rounding with moments: less noise than to nearest, and nothing that depends on luck."""

import itertools

import numpy as np
import pytest

from onnxq.improvement.weights.moments import Moments
from onnxq.improvement.weights.second_order import noise, regularized, rounded

INT8 = (-128, 127)


def correlated(groups, inputs, rows, seed=0):
    """Moments of inputs that a few causes explain."""
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(groups, max(1, inputs // 4), inputs))
    moments = Moments(groups=groups, inputs=inputs)
    strengths = rng.normal(size=(rows, groups, 1, causes.shape[1]))
    own = 0.1 * rng.normal(size=(rows, groups, inputs))
    moments.add((np.matmul(strengths, causes)[:, :, 0] + own).astype(np.float32))
    return moments


def weights(groups, outputs, inputs, seed=1):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(groups, outputs, inputs))
    return rows, np.broadcast_to(np.abs(rows).max(axis=-1, keepdims=True) / 7, rows.shape)


@pytest.mark.parametrize(("groups", "outputs", "inputs"), [(1, 20, 150), (12, 1, 9), (3, 4, 18)])
def test_noise_falls_on_other_rows_too(groups, outputs, inputs):
    rows, steps = weights(groups, outputs, inputs)
    fitted, other = (correlated(groups, inputs, 2000), correlated(groups, inputs, 2000))
    moments = fitted.second()
    integers = rounded(rows, steps, regularized(moments, fitted.count), INT8)
    nearest = np.rint(rows / steps)
    unseen = other.second()
    gain = (
        noise(rows - steps * nearest, unseen).sum() / noise(rows - steps * integers, unseen).sum()
    )
    assert gain > 2


def test_few_inputs_get_nearly_the_best_of_all_integers():
    rows, steps = weights(2, 3, 4)
    moments = regularized(correlated(2, 4, 500).second(), 500)
    mine = noise(rows - steps * rounded(rows, steps, moments, INT8), moments)
    floor = np.floor(rows / steps)
    best = np.full(mine.shape, np.inf)
    for above in itertools.product((-1, 0, 1, 2), repeat=4):
        best = np.minimum(best, noise(rows - steps * (floor + above), moments))
    assert (mine >= best - 1e-12).all()
    assert np.isclose(mine, best).sum() >= 4  # of 6 rows


def test_independent_inputs_are_rounded_to_nearest():
    rows, steps = weights(1, 5, 6)
    np.testing.assert_array_equal(
        rounded(rows, steps, np.eye(6)[None] * [[[1], [2], [3], [4], [5], [6]]], INT8),
        np.rint(rows / steps),
    )


def test_bounds_hold():
    rows, steps = weights(1, 4, 30)
    integers = rounded(rows, steps / 4, regularized(correlated(1, 30, 100).second(), 100), (-7, 7))
    assert np.abs(integers).max() == 7


@pytest.mark.parametrize("rows_of_inputs", [0, 1, 3, 1000])
def test_dead_and_few_inputs_are_no_obstacle(rows_of_inputs):
    moments = Moments(groups=2, inputs=5)
    inputs = np.random.default_rng(0).normal(size=(rows_of_inputs, 2, 5)).astype(np.float32)
    inputs[:, 0] = 0  # a whole group
    inputs[:, 1, 2] = 0
    moments.add(inputs)
    rows, steps = weights(2, 3, 5)
    regular = regularized(moments.second(), moments.count)
    integers = rounded(rows, steps, regular, INT8)
    assert np.isfinite(integers).all()
    assert (np.abs(integers - rows / steps) < 2).all()
    if rows_of_inputs == 0:
        np.testing.assert_array_equal(integers, np.rint(rows / steps))


def test_no_row_is_worse_than_to_nearest():
    for seed in range(5):
        rows, steps = weights(3, 4, 12, seed)
        moments = regularized(correlated(3, 12, 40, seed).second(), 40)
        mine = noise(rows - steps * rounded(rows, steps, moments, (-7, 7)), moments)
        nearest = noise(rows - steps * np.clip(np.rint(rows / steps), -7, 7), moments)
        assert (mine <= nearest).all()


def test_moments_are_those_of_numpy_and_leave_out_what_is_not_finite():
    rng = np.random.default_rng(3)
    inputs = rng.normal(3, 1, size=(50, 2, 4)).astype(np.float32)
    moments = Moments(groups=2, inputs=4)
    moments.add(inputs[:20])
    moments.add(inputs[20:])
    moments.add(np.full((1, 2, 4), np.inf, np.float32))
    assert moments.count == 50
    for group in range(2):
        rows = inputs[:, group].astype(np.float64)
        np.testing.assert_allclose(moments.second()[group], rows.T @ rows / 50, rtol=1e-5)
