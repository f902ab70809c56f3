"""Boxes [n, 4] as left, top, right, bottom: overlap, and suppression of what overlaps."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SAME: Final = 0.45  # intersection over union of two candidates of one object
_MOST: Final = 4000  # candidates by score; each is compared with all others

Floats = NDArray[np.float64]


def corners(boxes: NDArray[Any]) -> Floats:
    """Boxes [n, 4] of centre, width and height as corners."""
    centre, half = boxes[:, :2].astype(np.float64), boxes[:, 2:4].astype(np.float64) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def overlaps(first: NDArray[Any], second: NDArray[Any]) -> Floats:
    """Intersection over union of all pairs, [n, m]; 0 for boxes without an area."""
    a, b = first[:, None].astype(np.float64), second[None].astype(np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.maximum(sides, 0).prod(axis=-1)
    union = _area(a) + _area(b) - shared
    ratio: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio


def _area(boxes: Floats) -> Floats:
    area: Floats = np.maximum(boxes[..., 2:] - boxes[..., :2], 0).prod(axis=-1)
    return area


def suppressed(
    boxes: NDArray[Any], scores: NDArray[Any], classes: NDArray[Any]
) -> NDArray[np.intp]:
    """Which candidates stay: of those of one class that overlap, the one with the best score.

    Greedy non-maximum suppression, in descending order of the scores.
    """
    order = np.argsort(-scores, kind="stable")[:_MOST]
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        same = (overlaps(boxes[[best]], boxes[rest])[0] > SAME) & (classes[rest] == classes[best])
        order = rest[~same]
    return np.array(kept, np.intp)
