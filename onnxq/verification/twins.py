"""Nodes that compute the same: an engine computes it once and names one of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from onnxq.linting import QdqModel
from onnxq.model.graph import Node


class Twins:
    """Nodes of a model whose results are equal, for the same op of equal inputs."""

    def __init__(self, model: QdqModel) -> None:
        self._model = model
        self._known: dict[tuple[str, str], bool] = {}

    def of(self, node: Node) -> Iterator[Node]:
        """Every other node that computes what a node does, in node order."""
        for other in self._model.graph.nodes_of(frozenset({node.type})):
            if other.name != node.name and self._compute_the_same(node, other):
                yield other

    def _compute_the_same(self, first: Node, second: Node) -> bool:
        if (
            first.type != second.type
            or len(first.inputs) != len(second.inputs)
            or dict(first.attributes) != dict(second.attributes)
        ):
            return False
        # Weights differ more often than activations, and are compared without going back.
        pairs = sorted(
            zip(first.inputs, second.inputs, strict=True),
            key=lambda pair: not self._model.is_constant(pair[0]),
        )
        return all(self._are_equal(a, b) for a, b in pairs)

    def _are_equal(self, first: str, second: str) -> bool:
        if first == second:
            return True
        if (first, second) not in self._known:
            self._known[first, second] = self._have_equal_values(first, second)
        return self._known[first, second]

    def _have_equal_values(self, first: str, second: str) -> bool:
        graph = self._model.graph
        if graph.is_constant(first) and graph.is_constant(second):
            a, b = graph.array(first), graph.array(second)
            return a.dtype == b.dtype and np.array_equal(a, b)
        makers = graph.producer(first), graph.producer(second)
        if makers[0] is None or makers[1] is None:
            return False
        same_place = makers[0].outputs.index(first) == makers[1].outputs.index(second)
        return same_place and self._compute_the_same(makers[0], makers[1])
