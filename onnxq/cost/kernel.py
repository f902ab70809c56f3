"""The bytes that one kernel reads and writes, from the compiler's list of its tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from onnxq.diagnostics import error
from onnxq.kernels.conversions import ConversionKind
from onnxq.kernels.generated import operations
from onnxq.kernels.layers import Layer, LayerTensor

_BITS: Final[Mapping[str, int]] = {
    "BFloat16": 16,
    "Bool": 8,
    "FP4": 4,
    "FP8": 8,
    "Float": 32,
    "Half": 16,
    "Int32": 32,
    "Int4": 4,
    "Int64": 64,
    "Int8": 8,
    "UInt8": 8,
}
IDLE: Final = frozenset({"signal", "wait"})  # they only order other kernels
_PICKS: Final = "Gath"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One kernel as the compiler lists it.

    `inputs`, `weights` and `outputs` are bytes; weights are all constants. `macs` counts
    multiplications by the type that is multiplied, those of the model: what the compiler adds by
    padding is not in it. `conversion` says what kind of conversion the kernel only makes, if so.
    `nodes` are the ONNX nodes that it computes.
    """

    name: str
    nodes: tuple[str, ...]
    conversion: ConversionKind
    inputs: int
    weights: int
    outputs: int
    macs: Mapping[str, int]

    @property
    def bytes(self) -> int:
        """All bytes that it reads and writes."""
        return self.inputs + self.weights + self.outputs


def kernel(layer: Layer, conversion: ConversionKind, macs: Mapping[str, int]) -> Kernel:
    """Sum up a layer of the compiler's list; OQ691 for a tensor whose size is unknown."""
    outputs = total(layer.outputs)
    # Of a table only what a Gather picks is read, which its output shows.
    picks = _PICKS in (operations(layer.name) or ())
    weights = sum(
        min(size(t), outputs) if picks else size(t) for t in _once(layer.constants).values()
    )
    return Kernel(
        name=layer.name,
        nodes=layer.nodes,
        conversion=conversion,
        inputs=total(layer.inputs),
        weights=weights,
        outputs=outputs,
        macs=macs,
    )


def total(tensors: Iterable[LayerTensor]) -> int:
    """Bytes of tensors; one that is listed twice counts once."""
    return sum(map(size, _once(tensors).values()))


def size(tensor: LayerTensor) -> int:
    """Bytes of a tensor's values, without gaps between them."""
    bits = _BITS.get(tensor.dtype)
    if bits is None or any(d < 0 for d in tensor.dims):
        raise error(
            "OQ691",
            f"the size of the tensor '{tensor.name}' ({tensor.dtype}) is unknown",
            fix="give every dynamic input a shape with --shape",
        )
    return -(-elements(tensor) * bits // 8)


def elements(tensor: LayerTensor) -> int:
    """The number of values."""
    return math.prod(tensor.dims)


def _once(tensors: Iterable[LayerTensor]) -> dict[str, LayerTensor]:
    return {t.name: t for t in tensors}
