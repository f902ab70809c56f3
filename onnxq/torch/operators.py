"""Which operators torch computes."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import defs

from onnxq.model.pairs import PAIR_OPS
from onnxq.torch_graph.operators import OPERATORS


@dataclass(frozen=True, slots=True, kw_only=True)
class Supported:
    """The operators that torch computes here, and those of ONNX that it does not."""

    operators: tuple[str, ...]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        return f"computed: {' '.join(self.operators)}\nmissing: {' '.join(self.missing)}"


def supported() -> Supported:
    """The operators of ONNX's own domain, by whether a model that has them can be loaded.

    Of a computed one some attributes may be missing, such as the cubic mode of Resize: `load` names
    them (OQ702).
    """
    computed = {*OPERATORS, *PAIR_OPS, "Constant"}
    known = {s.name for s in defs.get_all_schemas() if not s.domain and not s.deprecated}
    return Supported(operators=tuple(sorted(computed)), missing=tuple(sorted(known - computed)))
