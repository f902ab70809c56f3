"""The cost of one engine: its kernels, and the sums over them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from onnxq.cost.gpu import Gpu
from onnxq.cost.kernel import IDLE, kernel
from onnxq.cost.steps import Step, steps, summed
from onnxq.diagnostics import error
from onnxq.kernels.conversions import ConversionKind
from onnxq.kernels.layers import LayerList

EngineTypes = Literal["qdq", "fp16", "fp32"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCost:
    """What one engine costs at least for one inference with the usual shapes.

    `types` says which: that of the Q/DQ model, or the float model's in FP16 or FP32. `steps` are
    in the order of the compiler's list. `left_out` are ops whose multiplications or kernel are
    unknown.
    """

    types: EngineTypes
    steps: tuple[Step, ...]
    left_out: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes through memory, when results stay on the chip where they can."""
        return sum(step.bytes for step in self.steps)

    @property
    def listed_bytes(self) -> int:
        """Bytes of all kernels as the compiler lists them."""
        return sum(step.bytes + step.on_chip for step in self.steps)

    @property
    def weight_bytes(self) -> int:
        """Bytes of constants, which are part of both sums."""
        return sum(kernel.weights for step in self.steps for kernel in step.kernels)

    @property
    def macs(self) -> Mapping[str, int]:
        """Multiplications by type."""
        return summed(step.macs for step in self.steps)

    @property
    def seconds(self) -> float:
        """The least time, one step after another."""
        return sum(step.seconds for step in self.steps)

    @property
    def conversion_bytes(self) -> int:
        """Bytes of steps that only convert."""
        return sum(step.bytes for step in self.steps if step.converts)

    @property
    def conversion_share(self) -> float:
        """Share of the time that steps take which only convert, 0 to 1."""
        spent = sum(step.seconds for step in self.steps if step.converts)
        return spent / self.seconds if self.seconds else 0.0


def engine_cost(
    types: EngineTypes,
    layers: LayerList,
    conversions: Sequence[ConversionKind],
    macs: Mapping[str, Mapping[str, int]],
    *,
    outputs: Collection[str],
    gpu: Gpu,
    left_out: Sequence[str] = (),
) -> EngineCost:
    """The cost of an engine from the compiler's list of its layers.

    `conversions` has the kind of each layer, `macs` the multiplications by type of each layer by
    name; `outputs` are the engine's. Raises OQ691 when the list does not show all sizes.
    """
    if not layers.is_whole or layers.unreadable or not layers.layers:
        raise error(
            "OQ691",
            "the compiler's list of kernels does not have all that they read",
            fix="use --backend tensorrt-rtx, in a version that onnxq was tested with",
        )
    busy = [
        (layer, kind)
        for layer, kind in zip(layers.layers, conversions, strict=True)
        if layer.kind not in IDLE
    ]
    kernels = [kernel(layer, kind, macs.get(layer.name, {})) for layer, kind in busy]
    grouped = steps([layer for layer, _ in busy], kernels, outputs, gpu)
    return EngineCost(types=types, steps=grouped, left_out=tuple(left_out))
