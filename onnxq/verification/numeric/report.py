"""The report of the comparison in onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from onnxq.diagnostics import Diagnostic
from onnxq.verification.detections import DetectionReport
from onnxq.verification.numeric.accuracy import Accuracy
from onnxq.verification.numeric.comparison import Comparison
from onnxq.verification.numeric.tensors import TensorComparison, culprits


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericReport:
    """One Q/DQ model against the float model over `samples` samples.

    `outputs` are all outputs in the float model's order. `tensors`, if requested, are all pairs
    and weighted ops along the network. `unmatched` are the names of nodes whose tensors the float
    model does not have, `inside` the names of nodes in bodies of If, Loop and Scan; both are not
    compared. `accuracy` is None without labels, `detections` without a decoder. Of an output behind
    an op that onnxruntime cannot run, `stand_ins` has the tensors in front of the op that `outputs`
    has in its place, and `notes` say so; none for an output that has nothing to compare in front of
    the op.
    """

    samples: int
    outputs: tuple[Comparison, ...]
    accuracy: Accuracy | None = None
    detections: DetectionReport | None = None
    tensors: tuple[TensorComparison, ...] = ()
    unmatched: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    stand_ins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()

    @property
    def sqnr_db(self) -> float | None:
        """The lowest SQNR of all float outputs and their parts; None if one is unknown."""
        return _lowest([c.sqnr_db for c in self._judged])

    @property
    def cosine(self) -> float | None:
        """The lowest cosine of all float outputs and their parts; None if one is unknown."""
        return _lowest([c.cosine for c in self._judged])

    @property
    def _judged(self) -> tuple[Comparison, ...]:
        floats = (o for o in self.outputs if o.is_float or o.problem)
        return tuple(c for output in floats for c in output.judged)

    @property
    def culprits(self) -> tuple[str, ...]:
        """The fewest nodes whose local noise adds up to half of the total, in network order."""
        return culprits(self.tensors)


def _lowest(figures: Sequence[float | None]) -> float | None:
    measured = [figure for figure in figures if figure is not None]
    return min(measured) if 0 < len(measured) == len(figures) else None
