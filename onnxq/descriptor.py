"""QuantDescriptor: the format of one quantized tensor, and the method for its range."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal

from onnxq.formats import DType

Granularity = Literal["per_tensor", "per_channel", "per_block"]
Calibrator = Literal["max", "histogram"]
Method = Literal["max", "percentile", "mse", "entropy", "adaptive"]
PERCENTILE_METHODS: Final = frozenset({"percentile", "adaptive"})
WEIGHT_METHODS: Final = frozenset({"max", "mse"})
# The others count steps of one size; in fp8e4m3 `adaptive` is the percentile.
FP8_METHODS: Final = frozenset({"max", *PERCENTILE_METHODS})
# pytorch-quantization takes an amax up to the smallest positive float16 subnormal for zero.
SMALLEST_AMAX: Final = 2.0**-24
LARGEST_AMAX: Final = 1e38  # a range whose scale and values float32 holds
BLOCK_SIZES: Final = (32, 64, 128)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantDescriptor:
    """Symmetric quantization of one tensor; zero point 0, scale = amax / 127.

    fp8e4m3 divides amax by 448, int4 by 7. int4 is for weights and needs `per_block`: one scale for
    every `block_size` values (None becomes 128) along `axis`.
    `axis` is the channel axis of `per_channel` or the axis of the blocks; None is the default of
    the op (`node_inputs.channel_axis`, `node_inputs.block_axis`).
    `calibrator` selects the statistics to gather, `method` computes amax from them (None becomes
    `max` for the max calibrator and for fp8e4m3 and int4, `entropy` for int8 and the histogram);
    `percentile`, in (0, 100], belongs to the method of that name and to `adaptive`. `amax` is a
    fixed range instead of a method, for the whole tensor and whatever its values. With
    `narrow_range` values clamp at -127 instead of -128. Names and defaults follow
    pytorch-quantization's QuantDescriptor.

    Descriptors that give equal pairs are equal, whatever their calibrators.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    dtype: DType = "int8"
    granularity: Granularity = "per_tensor"
    axis: int | None = None
    block_size: int | None = None
    narrow_range: bool = False
    calibrator: Calibrator = field(default="histogram", compare=False)
    method: Method | None = None
    percentile: float = 99.99
    amax: float | None = None

    def __post_init__(self) -> None:
        if self.axis is not None and self.granularity == "per_tensor":
            raise ValueError("'axis' needs 'granularity: per_channel'; add it, or drop 'axis'")
        if self.amax is not None:
            self._require_fixed(self.amax)
        elif self.method is None:
            default = "entropy" if (self.calibrator, self.dtype) == ("histogram", "int8") else "max"
            object.__setattr__(self, "method", default)
        self._require_options_of_type()
        if self.granularity == "per_block":
            self._require_blocks()
        elif self.block_size is not None:
            raise ValueError("'block_size' needs 'granularity: per_block'; add it, or drop it")
        if self.calibrator == "max" and self.method not in ("max", None):
            raise ValueError(
                f"method '{self.method}' needs 'calibrator: histogram'; drop one of the two"
            )
        if not 0 < self.percentile <= 100:
            raise ValueError("'percentile' must be above 0 and at most 100; 99.99 is usual")
        if self.method not in PERCENTILE_METHODS:
            object.__setattr__(self, "percentile", 99.99)

    def _require_fixed(self, amax: float) -> None:
        if self.method is not None:
            raise ValueError("'amax' is the range itself; drop it, or drop 'method'")
        if self.granularity != "per_tensor":
            raise ValueError("'amax' is one range; use 'granularity: per_tensor', or drop 'amax'")
        if not SMALLEST_AMAX < amax <= LARGEST_AMAX:
            raise ValueError(
                f"'amax' must be above {SMALLEST_AMAX:.2g} and at most {LARGEST_AMAX:.2g}, not "
                f"{amax:g}; give the largest magnitude that has to be kept"
            )
        object.__setattr__(self, "amax", float(amax))

    def _require_options_of_type(self) -> None:
        if (self.dtype == "int4") != (self.granularity == "per_block"):
            raise ValueError(
                "int4 and 'per_block' need each other; write both, 'dtype: int4' and "
                "'granularity: per_block', or neither"
            )
        if self.dtype == "fp8e4m3" and self.method not in (*FP8_METHODS, None):
            raise ValueError(
                f"method '{self.method}' counts steps of one size, which fp8e4m3 does not have; "
                "use 'method: max' or 'method: percentile'"
            )
        if self.dtype == "fp8e4m3" and self.narrow_range:
            raise ValueError("fp8e4m3 is symmetric as it is; drop 'narrow_range'")

    def _require_blocks(self) -> None:
        if self.block_size is None:
            object.__setattr__(self, "block_size", BLOCK_SIZES[-1])
        if self.block_size not in BLOCK_SIZES:
            sizes = ", ".join(map(str, BLOCK_SIZES))
            raise ValueError(f"'block_size' {self.block_size} is not known; use one of {sizes}")

    def __str__(self) -> str:
        return self.text(self.axis)

    def text(self, axis: int | None) -> str:
        """One word with the given axis, such as int8:per_channel(0):max, which `parse` reads."""
        size = "" if self.block_size is None else f"/{self.block_size}"
        channel = "" if axis is None else f"({axis})"
        narrow = ":narrow" if self.narrow_range else ""
        return f"{self.dtype}:{self.granularity}{size}{channel}:{self.range_from}{narrow}"

    @property
    def range_from(self) -> str:
        """What gives the range, in one word: max, percentile(99.99) or amax(6.0)."""
        if self.amax is not None:
            return f"amax({self.amax!r})"
        takes_percentile = self.method in PERCENTILE_METHODS
        return f"{self.method}({self.percentile!r})" if takes_percentile else f"{self.method}"

    @classmethod
    def parse(cls, text: str) -> QuantDescriptor:
        """Parse the result of `text`, with the histogram calibrator. ValueError for other text."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"'{text}' is not a descriptor such as int8:per_tensor:max")
        fields: dict[str, Any] = {k: v for k, v in match.groupdict().items() if v is not None}
        for key, convert in (
            ("axis", int),
            ("block_size", int),
            ("percentile", float),
            ("amax", float),
            ("narrow_range", bool),
        ):
            if key in fields:
                fields[key] = convert(fields[key])
        return cls(**fields)


_TEXT: Final = re.compile(
    r"(?P<dtype>int8|fp8e4m3|int4):(?P<granularity>per_tensor|per_channel|per_block)"
    r"(?:/(?P<block_size>\d{1,9}))?(?:\((?P<axis>\d+)\))?"
    r":(?:(?P<method>max|mse|entropy|percentile|adaptive)(?:\((?P<percentile>[\d.e+-]+)\))?"
    r"|amax\((?P<amax>[\d.e+-]+)\))"
    r"(?P<narrow_range>:narrow)?"
)
