"""The correlation of ranks that benchmarks hold an order against another by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """The correlation of the ranks, -1 to 1; equal values share the mean of their ranks.

    NaN where all values of a side are equal, or fewer than two are given.
    """
    ranks = [_ranks(np.asarray(values)) for values in (one, other)]
    if any(len(set(side)) < 2 for side in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    below = (values[:, None] > values).sum(axis=1)
    return below + ((values[:, None] == values).sum(axis=1) - 1) / 2
