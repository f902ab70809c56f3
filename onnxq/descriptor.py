"""QuantDescriptor: how one tensor is quantized, and how its range is found."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal

DType = Literal["int8"]
Granularity = Literal["per_tensor", "per_channel"]
Calibrator = Literal["max", "histogram"]
Method = Literal["max", "percentile", "mse", "entropy"]
WEIGHT_METHODS: Final = frozenset({"max", "mse"})


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantDescriptor:
    """Symmetric quantization of one tensor; zero point 0, scale = amax / 127.

    `axis` is the channel axis of `per_channel`; None means the op's own (`ops.channel_axis`).
    `calibrator` says how statistics are gathered, `method` how amax is read from them (None becomes
    `max` for the max calibrator and `entropy` for the histogram);
    `percentile`, in (0, 100], belongs to the method of that name. With `narrow_range` values clamp
    at -127 instead of -128. Names and defaults follow pytorch-quantization's QuantDescriptor.

    Descriptors are equal when they give equal pairs, however their statistics are gathered.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    dtype: DType = "int8"
    granularity: Granularity = "per_tensor"
    axis: int | None = None
    narrow_range: bool = False
    calibrator: Calibrator = field(default="histogram", compare=False)
    method: Method | None = None
    percentile: float = 99.99

    def __post_init__(self) -> None:
        if self.axis is not None and self.granularity != "per_channel":
            raise ValueError("'axis' needs 'granularity: per_channel'; add it, or drop 'axis'")
        if self.method is None:
            default = "max" if self.calibrator == "max" else "entropy"
            object.__setattr__(self, "method", default)
        if self.calibrator == "max" and self.method != "max":
            raise ValueError(
                f"method '{self.method}' needs 'calibrator: histogram'; drop one of the two"
            )
        if not 0 < self.percentile <= 100:
            raise ValueError("'percentile' must be above 0 and at most 100; 99.99 is usual")
        if self.method != "percentile":
            object.__setattr__(self, "percentile", 99.99)

    def __str__(self) -> str:
        return self.text(self.axis)

    def text(self, axis: int | None) -> str:
        """One word with the given axis, such as int8:per_channel(0):max, which `parse` reads."""
        channel = "" if axis is None else f"({axis})"
        method = f"percentile({self.percentile!r})" if self.method == "percentile" else self.method
        narrow = ":narrow" if self.narrow_range else ""
        return f"{self.dtype}:{self.granularity}{channel}:{method}{narrow}"

    @classmethod
    def parse(cls, text: str) -> QuantDescriptor:
        """Read what `text` gave; the calibrator is the histogram. ValueError for other text."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"'{text}' is not a descriptor such as int8:per_tensor:max")
        given: dict[str, Any] = {k: v for k, v in found.groupdict().items() if v is not None}
        for key, read in (("axis", int), ("percentile", float), ("narrow_range", bool)):
            if key in given:
                given[key] = read(given[key])
        return cls(**given)


_TEXT: Final = re.compile(
    r"(?P<dtype>int8):(?P<granularity>per_tensor|per_channel)(?:\((?P<axis>\d+)\))?"
    r":(?P<method>max|mse|entropy|percentile)(?:\((?P<percentile>[\d.e+-]+)\))?"
    r"(?P<narrow_range>:narrow)?"
)
