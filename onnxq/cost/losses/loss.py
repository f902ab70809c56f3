"""One loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnxq.diagnostics import Diagnostic, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss(Diagnostic):
    """Kernels that cost more than they must: why, and what to do.

    `bytes` is what they move for it; 0 for arithmetic alone. `nodes` are the ONNX nodes meant.
    """

    kernels: tuple[str, ...]
    nodes: tuple[str, ...]
    bytes: int


def loss(
    code: str,
    message: str,
    *,
    fix: str,
    kernels: Sequence[str],
    nodes: Sequence[str],
    moved: int,
) -> Loss:
    """Build a loss. It is a note: whether it matters is for `--max-cost-ratio` to say."""
    return Loss(
        code=code,
        message=message,
        fix=fix,
        severity=Severity.INFO,
        kernels=tuple(kernels),
        nodes=tuple(nodes),
        bytes=moved,
    )
