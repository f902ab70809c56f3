"""What the Q/DQ models of `verify` record, and what the calibrations say that made them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from onnxq.diagnostics import error

if TYPE_CHECKING:
    from onnxq.calibration.statistics import Statistics


def _recorded(qdq: list[Path], key: str) -> dict[Path, str]:
    """What onnxq recorded in each Q/DQ model; '' in those of other tools."""
    from onnxq.model import io as models
    from onnxq.model.metadata import metadata_of

    return {path: metadata_of(models.load(path)).get(key, "") for path in qdq}


def preprocess_of(qdq: list[Path]) -> str:
    """How pictures were preprocessed for the calibrations (OQ650 when they differ)."""
    known = {path: said for path, said in _recorded(qdq, "preprocess").items() if said}
    if len(set(known.values())) > 1:
        first = next(iter(known))
        second = next(path for path, said in known.items() if said != known[first])
        raise error(
            "OQ650",
            f"'{first}' and '{second}' were calibrated with different preprocessing",
            fix="say with --preprocess how pictures become inputs",
        )
    return next(iter(known.values()), "")


def calibrations(qdq: list[Path], given: Path | None) -> list[Statistics | None]:
    """What each model was calibrated with, as far as that is known."""
    from onnxq.verification import find_calibration

    digests = _recorded(qdq, "statistics")
    return [find_calibration(digest, path, given) for path, digest in digests.items()]


def shapes_of(known: Sequence[Statistics | None]) -> dict[str, tuple[int, ...]]:
    """The input shapes that all known calibrations have in common."""
    first, *others = [dict(c.input_shapes) for c in known if c is not None] or [{}]
    return {n: s for n, s in first.items() if all(other.get(n) == s for other in others)}
