"""The order in which units go into float: the most noise for the least cost first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from onnxq.improvement.edits import Array
from onnxq.tuning.units import Unit, Units

CONVERSION: Final = 0.002  # what a further conversion costs, as a share of all MACs
LEAST: Final = 0.0005  # what a unit without MACs costs


def ordered(units: Units, total: Array, aim: float) -> list[Unit]:
    """The units from the first to put into float on.

    `total` is the noise of the whole by part, relative to the signal; parts above the noise `aim`
    count by how far they are above, and once none is, all count alike. Each unit is expected to
    take its own noise away.
    """
    left, noise = list(units.units), np.array(total, float)
    chosen: list[Unit] = []
    conversions = 0
    while left:
        above = np.where(noise > aim, noise / aim, 0) if aim > 0 else np.ones_like(noise)
        weights = above if above.any() else np.ones_like(noise)
        best = max(left, key=lambda unit: _worth(units, unit, chosen, conversions, noise, weights))
        chosen.append(best)
        left.remove(best)
        conversions = units.conversions(chosen)
        noise = np.maximum(noise - np.array(best.noise), 1e-30)
    return chosen


def _worth(
    units: Units,
    unit: Unit,
    chosen: Sequence[Unit],
    conversions: int,
    noise: Array,
    weights: Array,
) -> float:
    """The share of the noise that a unit takes away, over its cost."""
    gain = float(np.sum(weights * np.minimum(unit.noise, noise) / np.maximum(noise, 1e-30)))
    further = max(0, units.conversions([*chosen, unit]) - conversions)
    return gain / (units_share(units, unit) + CONVERSION * further)


def units_share(units: Units, unit: Unit) -> float:
    """The share of all MACs that a unit has, at least a little."""
    return max(LEAST, unit.macs / units.macs if units.macs else 0.0)
