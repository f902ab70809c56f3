"""The peaks of a GPU: shipped ones by name, others from a YAML file of the same form."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from onnxq import yaml_source
from onnxq.diagnostics import did_you_mean, error
from onnxq.validation import validate

_SHIPPED: Final = Path(__file__).with_name("gpus.yaml")
# A product of a type that a GPU has no units for is computed in the next type.
_INSTEAD: Final[Mapping[str, tuple[str, ...]]] = {
    "int8": ("int8", "fp16", "fp32"),
    "fp8": ("fp8", "fp16", "fp32"),
    "fp16": ("fp16", "fp32"),
    "bf16": ("fp16", "fp32"),
}
Peak = Annotated[float, Field(gt=0)]


class Gpu(BaseModel):
    """The peaks of one GPU: `bandwidth` in GB/s, the others dense, in 10^12 operations a second.

    One multiplication with its addition is two operations. A GPU without a peak for int8, fp8 or
    fp16 computes in the next wider type. FP32 products use TF32 where the GPU has it, as TensorRT
    does by default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    name: str
    bandwidth: Peak
    int8: Peak | None = None
    fp8: Peak | None = None
    fp16: Peak | None = None
    tf32: Peak | None = None
    fp32: Peak
    source: str = ""

    def peak(self, dtype: str) -> float:
        """The peak for products of a type such as 'int8', in 10^12 operations a second."""
        peaks = (getattr(self, name) for name in _INSTEAD.get(dtype, ()) if name != "fp32")
        return next(filter(None, peaks), max(self.fp32, self.tf32 or 0))

    def memory_seconds(self, size: int) -> float:
        """The least time to move this many bytes."""
        return size / (self.bandwidth * 1e9)

    def product_seconds(self, macs: Mapping[str, int]) -> float:
        """The least time for multiplications, by type."""
        return sum(2 * count / (self.peak(dtype) * 1e12) for dtype, count in macs.items())


@cache
def shipped() -> Mapping[str, Gpu]:
    """The GPUs that `--gpu` knows by name."""
    table: Mapping[str, object] = yaml_source.read(_SHIPPED).value
    return {name: Gpu.model_validate(row) for name, row in table.items()}


def load(name: str | Path) -> Gpu:
    """A GPU by name, or from a YAML file; OQ690 if there is neither, OQ103 and OQ104 for a file."""
    if os.path.isfile(name):
        keys = tuple(Gpu.model_fields)
        return validate(Gpu, yaml_source.read(Path(name)), lambda path: keys)
    if (gpu := shipped().get(str(name).lower())) is not None:
        return gpu
    raise error(
        "OQ690",
        f"there is no GPU '{name}', neither a file nor a known one",
        fix=did_you_mean(
            str(name), shipped(), otherwise=f"use one of {', '.join(shipped())}, or a YAML file"
        ),
    )
