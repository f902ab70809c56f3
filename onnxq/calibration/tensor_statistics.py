"""The statistics of one tensor, and how the JSON of a calibration file holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, NonNegativeInt

from onnxq.calibration import methods
from onnxq.calibration.histogram import BINS, BitHistogram, ValueRange
from onnxq.calibration.methods import ImportedAmax, Observed
from onnxq.descriptor import QuantDescriptor
from onnxq.shown import Shown


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TensorStatistics(Shown):
    """The observed values of one tensor over `samples` samples, or its imported amax."""

    values: Observed
    samples: int

    @property
    def range(self) -> ValueRange:
        """Exact minimum and maximum, and the counts of values, NaN and Inf; empty if imported."""
        if isinstance(self.values, ImportedAmax):
            return ValueRange()
        return self.values if isinstance(self.values, ValueRange) else self.values.range

    @property
    def histogram(self) -> BitHistogram | None:
        """The histogram, if one was gathered."""
        return self.values if isinstance(self.values, BitHistogram) else None

    @property
    def zeros(self) -> float | None:
        """The share of zeros among the finite values; None without a histogram."""
        histogram = self.histogram
        if histogram is None or not histogram.range.finite:
            return None
        return int(histogram.counts[histogram.bins == 0].sum()) / histogram.range.finite

    def to_dict(self) -> dict[str, Any]:
        """Counts and the range; the range is None without finite values."""
        observed = self.range
        return {
            "samples": self.samples,
            "values": observed.count,
            "nan": observed.nan,
            "inf": observed.inf,
            "zeros": self.zeros,
            "min": observed.minimum if observed.finite else None,
            "max": observed.maximum if observed.finite else None,
        }

    def amax(self, descriptor: QuantDescriptor, *, tensor: str) -> float:
        """Return amax by the descriptor's method; `tensor` names it in error OQ416."""
        return methods.amax(self.values, descriptor, tensor=tensor)

    def __add__(self, other: TensorStatistics) -> TensorStatistics:
        """Add exactly; the sum has a histogram only when both have one.

        The sum of imported amaxes is the larger; an imported one cannot be added to observed
        values (ValueError).
        """
        mine, theirs = self.values, other.values
        values: Observed = self.range + other.range
        if isinstance(mine, BitHistogram) and isinstance(theirs, BitHistogram):
            values = mine + theirs
        elif isinstance(mine, ImportedAmax) and isinstance(theirs, ImportedAmax):
            values = max(mine, theirs, key=lambda v: v.amax)
        elif isinstance(mine, ImportedAmax) or isinstance(theirs, ImportedAmax):
            raise ValueError("an imported amax and observed values do not add")
        return TensorStatistics(values=values, samples=self.samples + other.samples)


class TensorMeta(BaseModel):
    """One tensor in the file's JSON; the extremes are `float.hex`: exact, also for infinities."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: str
    kind: Literal["histogram", "range", "imported"]
    samples: NonNegativeInt
    count: NonNegativeInt = 0
    nan: NonNegativeInt = 0
    inf: NonNegativeInt = 0
    minimum: str = ""
    maximum: str = ""

    @classmethod
    def of(cls, name: str, tensor: TensorStatistics) -> TensorMeta:
        """Describe the statistics, without their bins and counts."""
        if isinstance(tensor.values, ImportedAmax):
            amax = tensor.values.amax.hex()
            return cls(name=name, kind="imported", samples=tensor.samples, maximum=amax)
        values = tensor.range
        return cls(
            name=name,
            kind="range" if tensor.histogram is None else "histogram",
            samples=tensor.samples,
            count=values.count,
            nan=values.nan,
            inf=values.inf,
            minimum=values.minimum.hex(),
            maximum=values.maximum.hex(),
        )

    def tensor(
        self, bins: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
    ) -> TensorStatistics:
        """Return the statistics; ValueError when the parts contradict each other."""
        maximum = float.fromhex(self.maximum)
        if self.kind == "imported":
            return TensorStatistics(values=ImportedAmax(amax=maximum), samples=self.samples)
        values = ValueRange(
            count=self.count,
            nan=self.nan,
            inf=self.inf,
            minimum=float.fromhex(self.minimum),
            maximum=maximum,
        )
        if values.finite < 0 or (values.finite and not values.minimum <= values.maximum):
            raise ValueError(f"the range of tensor '{self.name}' contradicts itself")
        if self.kind == "range":
            return TensorStatistics(values=values, samples=self.samples)
        ordered = np.all(np.diff(bins, prepend=-1, append=BINS) > 0)
        if not ordered or np.any(counts <= 0) or counts.sum() != values.finite:
            raise ValueError(f"the histogram of tensor '{self.name}' contradicts itself")
        histogram = BitHistogram(range=values, bins=bins.astype(np.uint32), counts=counts)
        return TensorStatistics(values=histogram, samples=self.samples)
