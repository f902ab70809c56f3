"""The noise that each pair brings to the outputs, from runs with one pair switched on.

All pairs run on one sample, those that bring the most of the noise on more of them (successive
halving, Karnin et al., 2013): with three runs for each pair the order is about as good as with
three samples for all, and the first ten are better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from onnxq.improvement.edits import Array

WORST: Final = 14  # pairs that get the samples that are left
_MORE: Final = 0.4  # of the pairs run on two more samples
_RUNS: Final = 3  # for each pair, in all
_LEAST: Final = 13  # more samples for the worst, even where that takes more runs
# Arguments: the number of a pair, that of a sample. Returns the noise by part.
Measure = Callable[[int, int], Array]


def by_halving(pairs: int, samples: int, measure: Measure) -> tuple[Array, Array]:
    """Noise by pair and part, and how many samples each pair was run on.

    A pair that was run on fewer samples than others counts as much more or less as these do with
    their further samples.
    """
    rounds = _rounds(pairs, samples)
    sums, counts = np.zeros((pairs, 0)), np.zeros(pairs, int)
    means = np.zeros((pairs, 0))
    for first, end, size in rounds:
        order = np.argsort(-means.mean(axis=1), kind="stable") if first else np.arange(pairs)
        alive = np.sort(order[:size])
        rows = np.array([[measure(int(p), s) for s in range(first, end)] for p in alive])
        if not first:
            sums, means = np.zeros((pairs, rows.shape[2])), np.zeros((pairs, rows.shape[2]))
        before = means[alive]
        sums[alive] += rows.sum(axis=1)
        counts[alive] += end - first
        after = sums[alive] / counts[alive, None]
        if first:
            means *= _growth(before, after)
        means[alive] = after
    return means, counts


def _growth(before: Array, after: Array) -> float:
    """By what the sum of the finite figures has grown; 1 where there is none."""
    finite = np.isfinite(before) & np.isfinite(after)
    whole = float(before[finite].sum())
    return float(after[finite].sum()) / whole if whole > 0 else 1.0


def runs(pairs: int, samples: int) -> int:
    """How often `by_halving` measures."""
    return sum((end - first) * size for first, end, size in _rounds(pairs, samples))


def _rounds(pairs: int, samples: int) -> Sequence[tuple[int, int, int]]:
    """For each round the samples from and to, and the number of pairs."""
    rounds = [(0, 1, pairs)]
    some = max(min(pairs, WORST), round(_MORE * pairs))
    if samples > 1:
        rounds.append((1, min(3, samples), some))
    worst = min(pairs, WORST)
    spent = sum((end - first) * size for first, end, size in rounds)
    left = max(_LEAST, (_RUNS * pairs - spent) // worst)
    if samples > 3:
        rounds.append((3, min(samples, 3 + left), worst))
    return rounds
