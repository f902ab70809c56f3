"""The types that tensors are quantized to, as a table: no policy here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import ml_dtypes
import numpy as np
from onnx import TensorProto

DType = Literal["int8", "fp8e4m3", "int4"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One row: ONNX's number of the type, NumPy's type, and the first opset whose Q/DQ take it.

    amax becomes `largest`. Values saturate at `lowest`, or at -`largest` where the range is narrow.
    Integers have steps of one size; steps of a float grow with the value.
    """

    proto: int
    dtype: np.dtype[Any]
    largest: float
    lowest: float
    opset: int

    @property
    def is_integer(self) -> bool:
        """True when all steps have one size."""
        return self.lowest < -self.largest


FORMATS: Final[Mapping[DType, Format]] = {
    "int8": Format(
        proto=TensorProto.INT8, dtype=np.dtype(np.int8), largest=127, lowest=-128, opset=13
    ),
    "fp8e4m3": Format(
        proto=TensorProto.FLOAT8E4M3FN,
        dtype=np.dtype(ml_dtypes.float8_e4m3fn),
        largest=448,
        lowest=-448,
        opset=19,
    ),
    "int4": Format(
        proto=TensorProto.INT4, dtype=np.dtype(ml_dtypes.int4), largest=7, lowest=-8, opset=21
    ),
}

# The first opset whose Q/DQ take
PER_CHANNEL: Final = 13  # a scale for each channel
HALF_SCALES: Final = 19  # scales, and so data, in 16 bits
BLOCKS: Final = 21  # a scale for each block


def type_name(proto: int) -> str:
    """The name of a type that ONNX numbers, such as 'float16'; of a newer one the number."""
    if proto not in TensorProto.DataType.values():
        return f"type {proto}"
    return str(TensorProto.DataType.Name(proto)).lower()


def format_of(proto: int) -> DType | None:
    """The name in the table of a type that ONNX numbers; None for one that is not there."""
    return next((name for name, row in FORMATS.items() if row.proto == proto), None)
