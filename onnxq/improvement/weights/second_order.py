"""Second-order rounding: integers whose errors cancel in the products with correlated inputs.

The noise that rounded weights add to an output is e' H e, where e are the errors of one row of
weights and H are the second moments of what these are multiplied with. Rounding to nearest
minimizes it only where H is diagonal. Weights come as `rows` of shape (groups, outputs, inputs),
with steps (scales) of the same shape and moments of shape (groups, inputs, inputs).

Sources: Frantar et al., "GPTQ", 2022 (arXiv:2210.17323), for one pass over the columns in which
the columns to come make up for the error so far; Zhang et al., "COMQ", 2024 (arXiv:2403.07134), for
coordinate descent over the integers, which goes on from there.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
_COLUMNS: Final = 64  # whose effect on the columns behind them is applied at once
_SWEEPS: Final = 3
_DAMPING: Final = 0.01  # of the mean power, on the diagonal: dead inputs have none of their own


def regularized(moments: Float64, rows: int) -> Float64:
    """Second moments of few rows of inputs, pulled towards their diagonal (a copy).

    The weight of the diagonal is inputs / (inputs + rows), the order of the optimum of Ledoit and
    Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004: moments of
    fewer rows than inputs would have rounding hide errors where only other data shows them.
    """
    inputs = moments.shape[-1]
    diagonal = np.maximum(0, np.einsum("gii->gi", moments))
    level = np.maximum(diagonal.mean(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    result = np.asarray(moments * (rows / (inputs + rows)))
    np.einsum("gii->gi", result)[:] = diagonal + _DAMPING * level
    return result


def rounded(rows: Float64, steps: Float64, moments: Float64, bounds: tuple[int, int]) -> Float64:
    """The integers within `bounds` for rows of weights; `moments` are positive definite.

    No row is worse than rounded to nearest.
    """
    nearest = np.clip(np.rint(rows / steps), *bounds)
    integers = _one_pass(rows, steps, moments, bounds)
    for _ in range(_SWEEPS):
        if not _descend(integers, rows, steps, moments, bounds):
            break
    is_worse = noise(rows - steps * integers, moments) > noise(rows - steps * nearest, moments)
    return np.where(is_worse[:, :, None], nearest, integers)


def noise(errors: Float64, moments: Float64) -> Float64:
    """The noise power e' H e of each row of errors: shape (groups, outputs)."""
    return np.asarray((np.matmul(errors, moments) * errors).sum(axis=-1))


def _one_pass(rows: Float64, steps: Float64, moments: Float64, bounds: tuple[int, int]) -> Float64:
    """GPTQ: columns in the order of falling power, of the mean over the groups."""
    order = np.argsort(-np.einsum("gii->gi", moments).mean(axis=0), kind="stable")
    back = np.argsort(order)
    inverse = np.linalg.inv(moments[:, order][:, :, order])
    upper = np.linalg.cholesky(inverse).transpose(0, 2, 1)
    left, step = rows[:, :, order], steps[:, :, order]
    integers = np.empty_like(left)
    count = left.shape[-1]
    for first in range(0, count, _COLUMNS):
        end = min(count, first + _COLUMNS)
        errors = np.empty((*left.shape[:2], end - first))
        for j in range(first, end):
            integers[:, :, j] = np.clip(np.rint(left[:, :, j] / step[:, :, j]), *bounds)
            error = left[:, :, j] - integers[:, :, j] * step[:, :, j]
            error /= upper[:, j, j, None]
            left[:, :, j:end] -= error[:, :, None] * upper[:, None, j, j:end]
            errors[:, :, j - first] = error
        left[:, :, end:] -= np.matmul(errors, upper[:, first:end, end:])
    return integers[:, :, back]


def _descend(
    integers: Float64, rows: Float64, steps: Float64, moments: Float64, bounds: tuple[int, int]
) -> bool:
    """Give each column in turn its best integers, in place; True where one changed."""
    gradient = np.matmul(rows - steps * integers, moments)
    is_changed = False
    for j in range(rows.shape[-1]):
        power = moments[:, j, j, None]
        best = integers[:, :, j] + gradient[:, :, j] / (power * steps[:, :, j])
        change = np.clip(np.rint(best), *bounds) - integers[:, :, j]
        changed = change.any(axis=0)
        if changed.any():
            is_changed = True
            integers[:, :, j] += change
            errors = (steps[:, :, j] * change)[:, changed]
            gradient[:, changed] -= errors[:, :, None] * moments[:, None, j]
    return is_changed
