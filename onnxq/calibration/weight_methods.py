"""Weights -> amax of each channel."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from onnxq.formats import FORMATS

FloatArray = npt.NDArray[np.float64]

_LEVELS: Final = int(FORMATS["int8"].largest)  # positive steps

# weights: candidates are fractions of the channel's amax, and 16 times as many around the best.
_WEIGHT_FRACTIONS: Final = np.linspace(1.0, 0.2, 81)
_WEIGHT_OFFSETS: Final = np.linspace(0.01, -0.01, 33)
_WEIGHT_BLOCK: Final = 1 << 16  # values; one block and its temporaries stay in the L2 cache


def weight_amax(
    w: npt.NDArray[np.float32],
    axis: int,
    method: Literal["max", "mse"] = "max",
    *,
    levels: int = _LEVELS,
    lowest: int | None = None,
) -> npt.NDArray[np.float32]:
    """Return amax of each channel of a weight: float32, 1-D of length w.shape[axis].

    `mse` takes the fraction of the channel's max |w|, from 1 to 0.19, with the least squared error
    when rounded to steps from `lowest`, by default -`levels`, to `levels`. Raises ValueError for
    another method, a bad axis, and NaN or infinite values.
    """
    if not -w.ndim <= axis < w.ndim:
        raise ValueError(f"axis {axis} is out of range for shape {w.shape}")
    others = tuple(i for i in range(w.ndim) if i != axis % w.ndim)
    largest = np.maximum(w.max(axis=others, initial=0), -w.min(axis=others, initial=0))
    if not np.isfinite(largest).all():
        raise ValueError("a weight must not have NaN or infinite values")
    if method == "max":
        return np.asarray(largest, np.float32)
    if method != "mse":
        raise ValueError(f"method '{method}' does not read weights; use 'max' or 'mse'")
    channels = np.moveaxis(w, axis, 0)
    length = w.size // max(1, len(channels))
    rows = max(1, _WEIGHT_BLOCK // max(1, length))
    blocks = (channels[i : i + rows] for i in range(0, len(channels), rows))
    steps = (-levels if lowest is None else lowest, levels)
    amaxes = [_least_error(b.reshape(len(b), length).astype(np.float32), *steps) for b in blocks]
    return np.concatenate(amaxes) if amaxes else np.zeros(0, np.float32)


def all_finite(w: npt.NDArray[Any]) -> bool:
    """True for an array without NaN and infinities, which show in its minimum or maximum."""
    return bool(np.isfinite([w.min(initial=0), w.max(initial=0)]).all())


def _least_error(
    channels: npt.NDArray[np.float32], lowest: int, levels: int
) -> npt.NDArray[np.float32]:
    """Return the amax with the least squared error for each row."""
    largest = np.abs(channels).max(axis=1, initial=0.0)
    steps = channels * (levels / np.where(largest > 0, largest, 1))[:, None]  # -levels .. levels

    def best(fractions: FloatArray) -> FloatArray:  # candidates x 1 or rows; ties: the first
        errors = [
            np.square(np.clip(np.rint(steps / f), lowest, levels) * f - steps).sum(axis=1)
            for f in fractions.astype(np.float32)[..., None]
        ]
        candidates = np.broadcast_to(fractions, np.shape(errors))
        return np.asarray(candidates[np.argmin(errors, axis=0), np.arange(len(steps))])

    coarse = best(_WEIGHT_FRACTIONS[:, None])
    fine = best(np.minimum(coarse + _WEIGHT_OFFSETS[:, None], 1.0))
    return np.asarray(largest * fine, dtype=np.float32)
