"""Successive halving: what is run how often, and figures that stay comparable."""

import numpy as np
import pytest

from onnxq.sensitivities.halving import WORST, by_halving, runs


def measured(noise, samples, growth=1.0):
    """By halving on noise by pair, `growth` times as much in each further sample."""
    asked = []

    def measure(pair, sample):
        asked.append((pair, sample))
        return np.array([noise[pair] * growth**sample])

    return (*by_halving(len(noise), samples, measure), asked)


@pytest.mark.parametrize("pairs", [1, 3, 14, 40, 300])
@pytest.mark.parametrize("samples", [1, 2, 3, 16, 64])
def test_every_pair_runs_and_the_worst_run_most(pairs, samples):
    noise = np.random.default_rng(0).permutation(pairs) + 1.0
    means, counts, asked = measured(noise, samples)
    assert len(asked) == len(set(asked)) == runs(pairs, samples) == counts.sum()
    assert {p for p, _ in asked} == set(range(pairs))
    assert max(s for _, s in asked) < samples
    np.testing.assert_allclose(means[:, 0], noise)
    worst = np.argsort(-noise)[:WORST]
    assert counts[worst].min() == counts.max()
    if samples == 16:
        assert counts.max() >= min(samples, 16)
    assert len(asked) <= max(3 * pairs, 2 * pairs + 16 * WORST)


def test_the_few_runs_of_the_others_count_as_the_worst_do_with_more():
    noise = np.arange(100, 0, -1.0)
    means, counts, _ = measured(noise, 3, growth=2.0)
    assert set(counts) == {1, 3}
    np.testing.assert_allclose(means[:, 0] / noise, 7 / 3)


def test_noise_without_end_comes_first_and_leaves_the_others():
    noise = np.arange(100, 0, -1.0)
    noise[70] = np.inf
    means, counts, _ = measured(noise, 16)
    assert counts[70] == counts.max()
    assert np.isinf(means[70, 0])
    finite = np.delete(np.arange(100), 70)
    np.testing.assert_allclose(means[finite, 0], noise[finite])


def test_no_noise_at_all():
    means, _, _ = measured(np.zeros(20), 16)
    assert not means.any()
