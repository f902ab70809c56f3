"""A model as `plan` and `explain` look at it."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

from onnxq.cli import options, shapes

if TYPE_CHECKING:
    from onnxq.model.graph import Graph
    from onnxq.model.source import Source


def read(
    model: Path, shape: list[str] | None, existing: options.ExistingPairs
) -> tuple[Source, Graph]:
    """Read a model for planning alone."""
    from onnxq.model import source
    from onnxq.model.graph import Graph

    found = source.read(model, existing)
    view = Graph(found.model, digest=found.digest, shapes=shapes.fixed(shape))
    gc.freeze()  # it lives to the end: looking at it again would cost a third of the planning
    return found, view
