"""Rows in an order that depends on their values: matched before they are compared.

TopK and NonMaxSuppression sort rows by a score. Two scores that are nearly equal change places in
a quantized model, and with them the boxes of both rows, which is no error of either. So each row
of the float model is compared with the nearest row of the Q/DQ model, and each row only once:
rows that are the nearest to each other first, then those among the rest, and so on, which is the
greedy assignment in the order of distance. All outputs that one node sorts share their rows.
A row that is far from all others has no counterpart: the other model selected another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FAR: Final = 0.25  # of the spread of the rows: an error that would leave 12 dB
_NARROW: Final = 8  # columns, such as a box, a score and a class, each of a kind of its own
_WIDE: Final = 8  # times the spread, at most, are the values
_PLACE: Final = 1e-9  # so that of equal rows those in the same place match


@dataclass(frozen=True, slots=True, kw_only=True)
class SortedRows:
    """Rows that the values sort or select, in node `node` of type `op`, summed over samples.

    `rows` counts those of the float model. Of these `kept` have a counterpart in the Q/DQ model,
    and only they are compared; `moved` is the number of those that stand in another place there.
    `new` counts rows of the Q/DQ model without a counterpart.
    """

    node: str
    op: str
    rows: int
    kept: int
    moved: int
    new: int

    @property
    def kept_share(self) -> float | None:
        """The share of the float rows that have a counterpart, 0 to 1; None without rows."""
        return self.kept / self.rows if self.rows else None


def distances(
    first: Sequence[NDArray[np.float64]], second: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Mean squares of the differences of all rows, each column in units of its spread."""
    total = np.abs(np.subtract.outer(np.arange(len(first[0])), np.arange(len(second[0])))) * _PLACE
    for a, b in zip(first, second, strict=True):
        if not (a.size and b.size):
            continue
        # With few rows, or all around one object, the spread is that of the values.
        spread = np.maximum(a.std(axis=0), np.sqrt(np.square(a).mean(axis=0)) / _WIDE)
        if a.shape[1] > _NARROW:
            spread[:] = np.sqrt(np.square(spread).mean())
        spread[spread == 0] = 1
        scale = spread * np.sqrt(a.shape[1] * len(first))
        left, right = (a - a.mean(axis=0)) / scale, (b - a.mean(axis=0)) / scale
        total += np.square(left).sum(1)[:, None] + np.square(right).sum(1) - 2 * (left @ right.T)
    return total


def nearest(distances: NDArray[np.float64]) -> NDArray[np.intp]:
    """Pairs of rows, [2, pairs], in the order of the first; those that are far are left out."""
    left, right = (np.arange(n) for n in distances.shape)
    pairs: list[NDArray[np.intp]] = []
    while left.size and right.size and distances.min() <= FAR**2:
        forth, back = distances.argmin(axis=1), distances.argmin(axis=0)
        near = distances[np.arange(left.size), forth] <= FAR**2
        mutual = (back[forth] == np.arange(left.size)) & near
        pairs.append(np.stack([left[mutual], right[forth[mutual]]]))
        kept = np.ones(right.size, bool)
        kept[forth[mutual]] = False
        distances = distances[np.ix_(~mutual, kept)]
        left, right = left[~mutual], right[kept]
    joined = np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0), np.intp)
    return joined[:, joined[0].argsort()]
