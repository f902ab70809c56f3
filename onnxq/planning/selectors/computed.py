"""The predicate on functions that exporters write as one op or as several."""

from __future__ import annotations

from typing import Final, Literal

from onnxq.model.graph import Node
from onnxq.planning.selectors.base import NodeTest, Search, predicate
from onnxq.planning.selectors.pattern import Pattern

Function = Literal["Gelu", "LayerNormalization"]

_FORMS: Final[dict[Function, list[str]]] = {
    "Gelu": [
        "Gelu",
        "Mul(Mul(_, Add(Erf | Tanh, const)), const)",
        "Mul(Mul(_, const), Add(Erf | Tanh, const))",
        "Mul(_, Mul(Add(Erf | Tanh, const), const))",
    ],
    "LayerNormalization": [
        "LayerNormalization | RMSNormalization",
        "(Div | Mul)(_, Sqrt(Add(ReduceMean, const)) | Reciprocal(Sqrt(Add(ReduceMean, const))))",
    ],
}


@predicate("computes", Function | list[Function])
class Computes(NodeTest):
    """It computes `Gelu` or `LayerNormalization`, as one op or as the last of small ops.

    Behind the small ops of a LayerNormalization its scale and bias may follow. An RMSNormalization
    counts as one.
    """

    def __init__(self, value: Function | list[Function]) -> None:
        self._names = value if isinstance(value, list) else [value]
        self._forms = Pattern([form for name in self._names for form in _FORMS[name]])

    def op_types(self) -> frozenset[str] | None:
        """The ops that end them."""
        return self._forms.op_types()

    def holds(self, search: Search, node: Node) -> bool:
        """Whether the node ends one of the forms."""
        return any(self._forms.choices(search, node, [{}]))

    def reason(self, search: Search, node: Node) -> str:
        """What it does not compute."""
        return f"it does not compute {' or '.join(self._names)}"
