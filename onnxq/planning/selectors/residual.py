"""The predicate on sums that close a residual connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from onnxq.model import residuals
from onnxq.model.graph import Edge, Node
from onnxq.planning.selectors.base import Binding, Bound, Miss, Predicate, Search, predicate

_SKIP: Final = "skip"


@predicate("residual", Literal["identity", "projection"])
class ClosesResidual(Predicate):
    """It is the Add or Sum of a block of convolutions, and of what goes round them.

    `identity`: that is what the block's first convolution reads. `projection`: a convolution of its
    own makes it. Ops on single values, such as activations, may stand between. The name `skip` is
    the input that goes round the block.
    """

    def __init__(self, value: Literal["identity", "projection"]) -> None:
        self._closed_by = residuals.identity if value == "identity" else residuals.projection

    def op_types(self) -> frozenset[str] | None:
        """Sums."""
        return residuals.SUMS

    def names(self) -> frozenset[str]:
        """The input that goes round the block."""
        return frozenset({_SKIP})

    def choices(
        self, search: Search, node: Node, bindings: list[Binding]
    ) -> Iterator[list[Binding]]:
        """The bindings with the input that goes round the block, when there is one."""
        sides = self._closed_by(search.graph, node)
        if sides is not None:
            edge = Edge(node=node.name, slot=sides.skip)
            bound = Bound(tensors=(node.inputs[sides.skip],), edges=(edge,))
            yield [{**binding, _SKIP: bound} for binding in bindings]

    def miss(self, search: Search, node: Node, bindings: list[Binding]) -> Miss:
        """Whether convolutions make one of its inputs."""
        if not any(residuals.sides_of(search.graph, node)):
            return Miss(depth=0, text="it is no sum of which convolutions make an input")
        return Miss(depth=1, text="its other input does not go round those convolutions")
