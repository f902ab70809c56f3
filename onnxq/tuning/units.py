"""Ops that are put into float together, and what that costs.

A unit is one decision: the products that read a tensor through the same pair (queries, keys and
values), the other ops that do (the Add that reads a skip branch), and the product whose result such
an Add takes in, as both are one kernel. Taken apart they would leave an op in float between two
conversions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from onnxq.improvement.subject import Subject
from onnxq.model.graph import Graph, Node
from onnxq.model.products import SizesOf, is_product, is_weighted, kept_float
from onnxq.model.products import macs as macs_of
from onnxq.planning.plan import Pair
from onnxq.sensitivities.sensitivity import Noise, Sensitivity, total_of

_Key = tuple[str, str, tuple[str, ...]]  # of a pair: its tensor, its kind, the nodes behind it


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Ops that are decided together, in graph order.

    `noise` is what their pairs bring to each part of the outputs, `macs` are the
    multiply-accumulates that TensorRT-RTX computes in INT8 with them.
    """

    nodes: tuple[str, ...]
    noise: Noise
    macs: int


@dataclass(frozen=True, kw_only=True)
class Units:
    """All units of a subject, and which products follow each other; `macs` are those of all."""

    graph: Graph
    units: tuple[Unit, ...]
    macs: int

    @classmethod
    def of(
        cls,
        subject: Subject,
        sizes: SizesOf,
        parts: Sequence[str],
        ranking: Sensitivity | None = None,
    ) -> Units:
        """The units of the pairs of a subject, with the noise of `parts` in this order.

        Without a ranking noise is 0. A product in a body counts for one run of it.
        """
        graph = subject.graph
        macs = {n.name: macs_of(sizes, n) or 0 for n in graph.nodes if is_product(graph, n)}
        noises = {} if ranking is None else _noises(ranking, parts)
        nothing = (0.0,) * len(parts)
        units = []
        for group in _joined(graph, subject.scales.by_pair):
            nodes = frozenset(group)
            own = [p for p in subject.scales.by_pair if any(e.node in nodes for e in p.edges)]
            in_int8 = [node for node in group if not kept_float(graph.by_name[node])]
            units.append(
                Unit(
                    nodes=group,
                    noise=total_of([noises.get(_key(p), nothing) for p in own], len(parts)),
                    macs=sum(macs.get(node, 0) for node in in_int8),
                )
            )
        return cls(graph=graph, units=tuple(units), macs=sum(macs.values()))

    def share(self, chosen: Iterable[Unit]) -> float:
        """The share of all multiply-accumulates in INT8 when some units are float, 0 to 1."""
        in_pairs = sum(unit.macs for unit in self.units) - sum(unit.macs for unit in chosen)
        return in_pairs / self.macs if self.macs else 1.0

    def conversions(self, chosen: Collection[Unit]) -> int:
        """How many tensors change between INT8 and float because of the units in float.

        One for each float product whose result an INT8 product reads, and one for each tensor that
        both kinds read.
        """
        in_float = {node for unit in chosen for node in unit.nodes}
        back = sum(
            node in in_float and any(reader not in in_float for reader in readers)
            for node, readers in self._followers.items()
        )
        both = sum(
            0 < sum(reader in in_float for reader in readers) < len(readers)
            for readers in self._readers.values()
        )
        return back + both

    @cached_property
    def _quantized(self) -> frozenset[str]:
        return frozenset(node for unit in self.units for node in unit.nodes)

    @cached_property
    def _followers(self) -> Mapping[str, frozenset[str]]:
        """By product the next quantized ops that its result reaches."""
        return {
            name: frozenset(_next(self.graph, self.graph.by_name[name], self._quantized))
            for name in self._quantized
        }

    @cached_property
    def _readers(self) -> Mapping[str, tuple[str, ...]]:
        """By tensor the quantized ops that read it."""
        readers: dict[str, list[str]] = {}
        for name in self._quantized:
            for tensor in data_inputs(self.graph, self.graph.by_name[name]):
                readers.setdefault(tensor, []).append(name)
        return {tensor: tuple(names) for tensor, names in readers.items()}


def data_inputs(graph: Graph, node: Node) -> list[str]:
    """The tensors that a node reads and that are no constants."""
    return [t for t in dict.fromkeys(node.inputs) if t and not graph.is_constant(t)]


def _noises(ranking: Sensitivity, parts: Sequence[str]) -> dict[_Key, Noise]:
    """The noise of each pair by part; of a part that the ranking does not have it is 0."""
    places = [ranking.parts.index(name) if name in ranking.parts else None for name in parts]
    return {
        (pair.tensor, pair.kind, pair.nodes): tuple(
            0.0 if place is None else pair.noise[place] for place in places
        )
        for pair in ranking.pairs
    }


def _key(pair: Pair) -> _Key:
    return (pair.tensor, pair.kind, tuple(dict.fromkeys(edge.node for edge in pair.edges)))


def _next(graph: Graph, node: Node, quantized: frozenset[str]) -> Iterable[str]:
    pending, seen = [out for out in node.outputs if out], set[str]()
    while pending:
        for edge in graph.consumers(pending.pop()):
            if edge.node in seen:
                continue
            seen.add(edge.node)
            if edge.node in quantized:
                yield edge.node
            else:
                pending += [out for out in graph.by_name[edge.node].outputs if out]


def _joined(graph: Graph, pairs: Iterable[Pair]) -> list[tuple[str, ...]]:
    """Groups of the ops that read pairs, in graph order."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            name = parent[name]
        return name

    def join(names: Sequence[str]) -> None:
        for name in names:
            parent[root(name)] = root(names[0])

    for pair in pairs:
        join([edge.node for edge in pair.edges])
    for name in list(parent):
        node = graph.by_name[name]
        if not is_weighted(graph, node):
            makers = (graph.producer(tensor) for tensor in node.inputs)
            products = (m for m in makers if m is not None and is_weighted(graph, m))
            join([name, *(m.name for m in products if m.name in parent)])
    groups: dict[str, list[str]] = {}
    for name in sorted(parent, key=lambda name: graph.order(graph.by_name[name])):
        groups.setdefault(root(name), []).append(name)
    return [tuple(names) for names in groups.values()]
