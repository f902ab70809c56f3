"""A graph cut into blocks of a few products, each of which is trained by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from onnxq.model.graph import Graph, Node
from onnxq.model.products import is_weighted


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Neighbours in graph order: the tensors that they read, make for others, and their names."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: frozenset[str]


def blocks(graph: Graph, products: int, is_cut: Callable[[Node], bool]) -> tuple[Block, ...]:
    """Cut a graph where the fewest tensors cross, so that a block has `products` up to twice that.

    A block that cannot be computed ends at the node that `is_cut` says, which stands alone.
    """
    nodes = [n for n in graph.nodes if not n.scope and not _is_constant(graph, n)]
    lives = _lives(graph, nodes)
    widths = _widths(lives, len(nodes))
    counts = np.cumsum([0, *(is_weighted(graph, n) for n in nodes)])
    walls = {w for i, n in enumerate(nodes) if is_cut(n) for w in (i, i + 1)} | {len(nodes)}
    bounds, start = [0], 0
    for wall in sorted(walls - {0}):
        while counts[wall] - counts[start] > 2 * products:
            since = counts - counts[start]
            places = np.flatnonzero((since >= products) & (since <= 2 * products))
            start = int(min((p for p in places if p > start), key=lambda p: (widths[p], p)))
            bounds.append(start)
        start = wall
        bounds.append(wall)
    cut = (_block(nodes, lives, a, b) for a, b in pairwise(bounds))
    return tuple(block for block in cut if block.nodes and block.outputs)


def _is_constant(graph: Graph, node: Node) -> bool:
    return all(graph.is_constant(out) for out in node.outputs if out)


def _lives(graph: Graph, nodes: Sequence[Node]) -> dict[str, tuple[int, int]]:
    """The places of the first and of the last node between which a tensor must be known."""
    made = dict.fromkeys(graph.inputs, -1)
    made |= {out: i for i, node in enumerate(nodes) for out in node.outputs if out}
    last = {name: i for i, node in enumerate(nodes) for name in node.inputs if name in made}
    last |= {name: len(nodes) for name in graph.given_out if name in made}
    return {name: (made[name], end) for name, end in last.items()}


def _widths(lives: dict[str, tuple[int, int]], count: int) -> list[int]:
    """How many tensors cross each place between two nodes."""
    change = np.zeros(count + 2, np.int64)
    for first, last in lives.values():
        if first >= 0 and last > first:
            change[first + 1] += 1
            change[last + 1] -= 1
    return [int(n) for n in np.cumsum(change)]


def _block(nodes: Sequence[Node], lives: dict[str, tuple[int, int]], a: int, b: int) -> Block:
    inside = nodes[a:b]
    reads = dict.fromkeys(name for node in inside for name in node.inputs if name in lives)
    makes = dict.fromkeys(name for node in inside for name in node.outputs if name in lives)
    return Block(
        inputs=tuple(name for name in reads if lives[name][0] < a),
        outputs=tuple(name for name in makes if lives[name][1] >= b),
        nodes=frozenset(node.name for node in inside),
    )
