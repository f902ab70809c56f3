"""An improvement carried over to a plan with fewer pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from onnxq.improvement.channels.readers import reader
from onnxq.improvement.edits import Array, Edits, moved
from onnxq.improvement.subject import Subject
from onnxq.insertion.scales import Scale
from onnxq.model.graph import Edge
from onnxq.planning.plan import Pair


def restricted(improved: Subject, fewer: Subject) -> Subject:
    """The subject `fewer`, whose plan lacks pairs of `improved`, with the edits of that.

    What read a divided tensor through a pair that is gone gets the weights for the whole tensor.
    """
    edits = improved.edits
    divisors = {_reads(pair): (pair, array) for pair, array in edits.divisors.items()}
    kept = dict(_kept_divisors(fewer, divisors))
    constants = {**edits.constants, **dict(_undivided(improved, kept))}
    return fewer.restored(
        Edits(
            constants=constants,
            biases=edits.biases,
            divisors=kept,
            scales=_scales(improved, fewer, kept),
            moved=edits.moved,
            notes=edits.notes,
        )
    )


def _reads(pair: Pair) -> frozenset[Edge]:
    return frozenset(pair.edges)


def _kept_divisors(
    fewer: Subject, divisors: Mapping[frozenset[Edge], tuple[Pair, Array]]
) -> Iterator[tuple[Pair, Array]]:
    """The divisors of the pairs that are left, which may have fewer readers."""
    for pair in fewer.scales.by_pair:
        for edges, (before, array) in divisors.items():
            if pair.kind == before.kind and edges.issuperset(pair.edges):
                yield pair, array


def _undivided(improved: Subject, kept: Mapping[Pair, Array]) -> Iterator[tuple[str, Array]]:
    """The weights of the ops that read no divided tensor any more."""
    left = {edge for pair in kept for edge in pair.edges}
    for pair, divisor in improved.edits.divisors.items():
        for edge in pair.edges:
            product = reader(improved.graph, edge)
            if edge not in left and product is not None:
                weight = improved.graph.array(product.weight)
                yield product.weight, product.weighted(weight, 1 / divisor.reshape(-1))


def _scales(improved: Subject, fewer: Subject, kept: Mapping[Pair, Array]) -> dict[Pair, Scale]:
    """The scales that the pairs which are left had, by the pair as it stands behind its divisor."""
    before = {(e, p.kind): scale for p, scale in improved.scales.by_pair.items() for e in p.edges}
    return {
        moved(pair) if pair in kept else pair: before[pair.edges[0], pair.kind]
        for pair in fewer.scales.by_pair
        if (pair.edges[0], pair.kind) in before
    }
