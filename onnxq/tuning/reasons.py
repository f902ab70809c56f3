"""Why a unit goes into float: the noise that its pairs bring, and the work that leaves INT8."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onnxq.sensitivities.sensitivity import decibel, total_of
from onnxq.tuning.units import Unit, Units


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """What a unit brings to `part` of the outputs, of which it has the largest share.

    `share` is that of the noise of all units there, `sqnr_db` the SQNR with this unit alone, `macs`
    the share of all multiply-accumulates. Shares are from 0 to 1.
    """

    part: str
    share: float
    sqnr_db: float
    macs: float

    @property
    def text(self) -> str:
        """The figures in a sentence."""
        alone = f" ({self.sqnr_db:.1f} dB alone)" if math.isfinite(self.sqnr_db) else ""
        return (
            f"Left in float: brings {self.share:.1%} of the noise at {self.part}{alone}, "
            f"{self.macs:.2%} of the MACs."
        )


def reasons(chosen: Sequence[Unit], units: Units, parts: Sequence[str]) -> tuple[Reason, ...]:
    """The reason for each of some units; `parts` are those of the noise."""
    totals = total_of([unit.noise for unit in units.units], len(parts))
    return tuple(_reason(unit, units.macs, totals, parts) for unit in chosen)


def _reason(unit: Unit, macs: int, totals: Sequence[float], parts: Sequence[str]) -> Reason:
    shares = [n / t if t else 0.0 for n, t in zip(unit.noise, totals, strict=True)]
    worst = max(range(len(shares)), key=shares.__getitem__)
    return Reason(
        part=parts[worst],
        share=shares[worst],
        sqnr_db=decibel(unit.noise[worst]),
        macs=unit.macs / macs if macs else 0.0,
    )
