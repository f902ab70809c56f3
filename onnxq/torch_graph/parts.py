"""Parts of a graph as functions of tensors, with Q/DQ pairs where a plan has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from onnxq.model.graph import Edge, Graph, Node
from onnxq.planning.plan import Pair
from onnxq.torch_graph.operators import OPERATORS, lacking
from onnxq.torch_graph.row import Compute, Result

Tensors = Mapping[str, Tensor]
# What a node reads through a pair, of the tensor itself.
Read = Callable[[Pair, Tensor], Tensor]
# What a node of the caller computes, of its first input.
Own = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """One node: `pairs` has the pair of every input, or None; `done` is not read afterwards."""

    node: Node
    compute: Compute
    pairs: tuple[Pair | None, ...]
    done: tuple[str, ...]


class LackingError(LookupError):
    """Nodes that torch cannot compute; `nodes` has the reason of each, in words, by its name."""

    def __init__(self, nodes: Mapping[str, str]) -> None:
        self.nodes = nodes
        super().__init__(", ".join(f"{why} '{name}'" for name, why in nodes.items()))


class TorchGraph:
    """The nodes of a model as torch computes them; `pairs` stand where their edges say.

    The caller computes the nodes that are named `own`, and gives the constants that are named
    `changing` with every call: what is computed from these is no constant.
    """

    def __init__(
        self,
        graph: Graph,
        pairs: Iterable[Pair] = (),
        *,
        own: Iterable[str] = (),
        changing: Iterable[str] = (),
    ) -> None:
        self.graph = graph
        self._pair_at = {edge: pair for pair in pairs for edge in pair.edges}
        self._own = frozenset(own)
        self._changing = frozenset(changing)
        self._derived = _derived(graph, self._changing)
        self._constants: dict[str, Tensor] = {}

    def constant(self, name: str) -> Tensor:
        """A constant of the graph; KeyError for any other tensor."""
        if name not in self._constants:
            self._constants[name] = torch.from_numpy(np.array(self.graph.array(name)))
        return self._constants[name]

    def part(self, inputs: Iterable[str], outputs: Sequence[str]) -> Part:
        """The part that computes tensors from others, and from constants.

        Raises LackingError where torch cannot compute a node of it, and KeyError for an input of
        the graph that it needs and that is not among `inputs`.
        """
        nodes = self._between(frozenset(inputs), outputs)
        lack = {n.name: why for n in nodes if n.name not in self._own and (why := lacking(n))}
        if lack:
            raise LackingError(lack)
        return Part(self, tuple(outputs), self._steps(nodes, outputs))

    def _between(self, inputs: frozenset[str], outputs: Sequence[str]) -> list[Node]:
        wanted = [name for name in outputs if name not in inputs]
        needed: dict[str, Node] = {}
        while wanted:
            name = wanted.pop()
            if name in inputs or not name or self._is_constant(name):
                continue
            node = self.graph.producer(name)
            if node is None:
                raise KeyError(name)
            if node.name not in needed:
                needed[node.name] = node
                wanted += node.inputs[:1] if node.name in self._own else node.inputs
        return sorted(needed.values(), key=self.graph.order)

    def constants_of(self, steps: Iterable[Step]) -> frozenset[str]:
        """The constants that steps read, but for those that change with every call."""
        reads = (
            name
            for step in steps
            for name in (step.node.inputs[:1] if step.node.name in self._own else step.node.inputs)
        )
        return frozenset(n for n in reads if self._is_constant(n) and n not in self._changing)

    def _is_constant(self, name: str) -> bool:
        return self.graph.is_constant(name) and name not in self._derived

    def _steps(self, nodes: list[Node], outputs: Sequence[str]) -> tuple[Step, ...]:
        last = {
            name: node.name
            for node in nodes
            for name in (*node.outputs, *node.inputs)
            if not self._is_constant(name)
        }
        kept = frozenset(outputs)
        done: dict[str, list[str]] = {}
        for name, node in last.items():
            if name not in kept:
                done.setdefault(node, []).append(name)
        return tuple(
            Step(
                node=node,
                compute=_absent if node.name in self._own else OPERATORS[node.type].compute,
                pairs=tuple(
                    self._pair_at.get(Edge(node=node.name, slot=slot))
                    for slot in range(len(node.inputs))
                ),
                done=tuple(done.get(node.name, ())),
            )
            for node in nodes
        )


def _derived(graph: Graph, changing: frozenset[str]) -> frozenset[str]:
    """The constants of a graph that are computed from some of them."""
    derived = set[str]()
    for node in graph.nodes if changing else ():
        if any(name in changing or name in derived for name in node.inputs):
            derived.update(out for out in node.outputs if graph.is_constant(out))
    return frozenset(derived)


def _absent(node: Node, *inputs: Tensor | None) -> Tensor:
    raise KeyError(node.name)


class Part:
    """Some nodes of a graph, as a function of the tensors that they read."""

    def __init__(
        self, graph: TorchGraph, outputs: tuple[str, ...], steps: tuple[Step, ...]
    ) -> None:
        self._graph = graph
        self.outputs = outputs
        self.steps = steps

    def __deepcopy__(self, memo: object) -> Part:
        return self  # it has no state: a copy of what uses it shares it

    @property
    def constants(self) -> frozenset[str]:
        """The constants that its nodes read, but for those that change with every call."""
        return self._graph.constants_of(self.steps)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs that its nodes read through."""
        return tuple(dict.fromkeys(p for step in self.steps for p in step.pairs if p is not None))

    def __call__(
        self,
        feeds: Tensors,
        *,
        constants: Tensors | None = None,
        read: Read | None = None,
        own: Mapping[str, Own] | None = None,
    ) -> dict[str, Tensor]:
        """Return the outputs by name.

        `constants` replaces constants of the graph, `own` has the nodes that the caller computes.
        Without `read` no pair is computed.
        """
        known, seen = dict(feeds), dict[Pair, Tensor]()
        replaced, computes = constants or {}, own or {}

        def constant(name: str) -> Tensor:
            return replaced[name] if name in replaced else self._graph.constant(name)

        def tensor(name: str, pair: Pair | None) -> Tensor | None:
            if not name:
                return None
            value = known.get(name)
            if value is None:
                value = constant(name)
            if pair is None or read is None:
                return value
            if pair not in seen:
                seen[pair] = read(pair, value)
            return seen[pair]

        for step in self.steps:
            result: Result
            if step.node.name in computes:
                data = tensor(step.node.inputs[0], None)
                assert data is not None
                result = computes[step.node.name](data)
            else:
                result = step.compute(step.node, *map(tensor, step.node.inputs, step.pairs))
            results = result if isinstance(result, tuple) else (result,)
            known.update(zip(step.node.outputs, results, strict=False))
            for name in step.done:
                known.pop(name, None)
        return {n: known[n] if n in known else constant(n) for n in self.outputs}
