"""The order in which units go into float: the most noise for the least cost first."""

from __future__ import annotations

from typing import Final

import numpy as np

from onnxq.improvement.edits import Array
from onnxq.tuning.units import Unit, Units

CONVERSION: Final = 0.002  # what a further conversion costs, as a share of all MACs
LEAST: Final = 0.0005  # what a unit without MACs costs
_COMPARED: Final = 8  # units whose conversions are counted


def ordered(units: Units, total: Array, aim: float, least: float) -> list[Unit]:
    """The units from the first to put into float on, so that the share `least` stays with pairs.

    `total` is the noise of the whole by part, relative to the signal; parts above the noise `aim`
    count by how far they are above, and once none is, all count alike. Each unit is expected to
    take its own noise away. A unit that is too large for what is left of the share is passed over.
    """
    noise = np.array(total, float)
    left = list(units.units)
    chosen: list[Unit] = []
    while left := [unit for unit in left if units.share([*chosen, unit]) >= least]:
        above = np.where(noise > aim, noise / aim, 0) if aim > 0 else np.ones_like(noise)
        weights = above if above.any() else np.ones_like(noise)
        gains = {unit: _gain(unit, noise, weights) for unit in left}
        first = sorted(left, key=lambda unit: -gains[unit] / units_share(units, unit))[:_COMPARED]
        before = units.conversions(chosen)
        costs = {
            unit: units_share(units, unit)
            + CONVERSION * max(0, units.conversions([*chosen, unit]) - before)
            for unit in first
        }
        best = max(first, key=lambda unit: gains[unit] / costs[unit])
        chosen.append(best)
        left.remove(best)
        noise = np.maximum(noise - np.array(best.noise), 1e-30)
    return chosen


def _gain(unit: Unit, noise: Array, weights: Array) -> float:
    """The share of the noise that a unit takes away."""
    return float(np.sum(weights * np.minimum(unit.noise, noise) / np.maximum(noise, 1e-30)))


def units_share(units: Units, unit: Unit) -> float:
    """The share of all MACs that a unit has, at least a little."""
    return max(LEAST, unit.macs / units.macs if units.macs else 0.0)
