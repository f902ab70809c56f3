"""The predicate on the two products of attention."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict

from onnxq.model.attention import Attention, attentions
from onnxq.model.graph import Graph, Node
from onnxq.planning.selectors.base import InvalidMatchError, NodeTest, Search, predicate
from onnxq.planning.selectors.condition import Condition, condition, is_comparison

_OPS: Final = frozenset({"Einsum", "MatMul"})


class AttentionSpec(BaseModel):
    """What is asked of an attention; all that is given must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    keys: int | str | None = None
    size: int | str | None = None


@predicate("attention", AttentionSpec)
class IsOfAttention(NodeTest):
    """It is one of the two products around the Softmax of attention.

    `keys` is the number of keys, `size` that of the values of a head, as a number or a comparison
    such as `"> 512"`; one that is not known fits nothing. What
    stands around the Softmax may be a scale, a mask, a Cast, or a Where in place of NaN.
    """

    def __init__(self, value: AttentionSpec) -> None:
        self._keys = _condition("keys", value.keys)
        self._size = _condition("size", value.size)
        self._cached: tuple[Graph, dict[str, Attention]] | None = None

    def op_types(self) -> frozenset[str] | None:
        """Products of two activations."""
        return _OPS

    def holds(self, search: Search, node: Node) -> bool:
        """Whether it belongs to an attention that fits."""
        attention = self._attentions(search.graph).get(node.name)
        return attention is not None and not self._unfit(attention)

    def reason(self, search: Search, node: Node) -> str:
        """What does not fit."""
        attention = self._attentions(search.graph).get(node.name)
        return "it is no product of attention" if attention is None else self._unfit(attention)

    def _unfit(self, attention: Attention) -> str:
        for called, have, fits in (
            ("keys", attention.keys, self._keys),
            ("size", attention.size, self._size),
        ):
            if fits is not None and (have is None or not fits(have)):
                return f"{called} of its attention is {'not known' if have is None else have}"
        return ""

    def _attentions(self, graph: Graph) -> dict[str, Attention]:
        """The attentions of a graph by the names of both products."""
        if self._cached is None or self._cached[0] is not graph:
            by_name = {p.name: a for a in attentions(graph) for p in (a.scores, a.mixed)}
            self._cached = (graph, by_name)
        return self._cached[1]


def _condition(key: str, wanted: int | str | None) -> Condition | None:
    if isinstance(wanted, str) and not is_comparison(wanted):
        fix = 'give a number or a comparison such as "> 512"'
        raise InvalidMatchError(f"'{wanted}' is no number", fix=fix, path=(key,))
    return None if wanted is None else condition(wanted)
