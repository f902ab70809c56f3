"""The costs of a Q/DQ model's engine beside those of the float model's engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnxq.cost.engine import EngineCost, EngineTypes
from onnxq.cost.losses.loss import Loss
from onnxq.diagnostics import Diagnostic


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """Lower bounds for the engines of one model on a GPU, that of the Q/DQ model first.

    `engines` lacks one that could not be built. The bounds leave out launches of kernels, caches,
    what the compiler fuses further when the engine first runs, and arithmetic other than products.
    `losses` are kernels that cost more than they must, the worst first; `notes` say which engine
    is missing, and why.
    """

    gpu: str
    source: str
    engines: tuple[EngineCost, ...]
    losses: tuple[Loss, ...] = ()
    notes: tuple[Diagnostic, ...] = ()

    @property
    def by_types(self) -> Mapping[EngineTypes, EngineCost]:
        """The engines by their types: 'qdq', 'fp16' and 'fp32'."""
        return {engine.types: engine for engine in self.engines}

    @property
    def qdq(self) -> EngineCost:
        """The engine of the Q/DQ model."""
        return self.engines[0]

    @property
    def ratio(self) -> float | None:
        """The least time of the Q/DQ engine by that of the FP16 engine; None if unknown."""
        fp16 = self.by_types.get("fp16")
        return self.qdq.seconds / fp16.seconds if fp16 is not None and fp16.seconds else None
