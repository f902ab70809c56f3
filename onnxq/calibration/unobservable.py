"""Tensors that cannot be observed, because onnxruntime cannot run an op in front of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import Diagnostic, error, warning
from onnxq.model.cutting import Culprit

_FEW: Final = 6  # names in a message; all are in Statistics.unobserved
_FIX: Final = "give its library with --ort-library LIB.so to observe them"


def unobservable(lost: Mapping[str, Culprit]) -> Iterator[Diagnostic]:
    """Name, for each op that onnxruntime cannot run, the tensors behind it (OQ321)."""
    for culprit in dict.fromkeys(lost.values()):
        names = [tensor for tensor, before in lost.items() if before == culprit]
        yield warning(
            "OQ321",
            f"onnxruntime cannot run {culprit}: {_listed(names)} behind it cannot be observed, so "
            "the ops there will stay in float",
            fix=_FIX,
        )


def require_any(statistics: Statistics) -> None:
    """Raise OQ321 when no tensor could be observed."""
    if statistics.unobserved and not statistics.tensors:
        culprit = next(iter(statistics.unobserved.values()))
        message = f"every tensor to observe is behind {culprit}, which onnxruntime cannot run"
        raise error("OQ321", message, fix=_FIX)


def _listed(names: Sequence[str]) -> str:
    """The number of tensors with the first of their names."""
    some = ", ".join(f"'{name}'" for name in names[:_FEW]) + (", ..." if len(names) > _FEW else "")
    return f"the tensor {some}" if len(names) == 1 else f"{len(names):,} tensors ({some})"
