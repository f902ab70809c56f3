"""Which tensors must be outputs of a run, so that the values of all wanted ones are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

from onnxq.calibration.statistics import TensorStatistics
from onnxq.model import node_inputs, ops
from onnxq.model.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Tensors to observe, and those whose values are, all together, the values of others.

    Histograms add exactly, so the output of a Concat whose inputs are observed need not leave the
    runtime. `follows` maps such a tensor to its parts, in the order in which they can be added; a
    part whose values occur several times, as after a Resize, is named several times.
    """

    exposed: tuple[str, ...]
    follows: Mapping[str, tuple[str, ...]]

    def complete(
        self, observed: Mapping[str, TensorStatistics], samples: int
    ) -> dict[str, TensorStatistics]:
        """Add the tensors that follow to the statistics of the exposed ones over the samples."""
        statistics = dict(observed)
        for tensor, parts in self.follows.items():
            if all(part in statistics for part in parts):
                times = Counter(parts).items()
                together = reduce(add, (_times(statistics[part], count) for part, count in times))
                statistics[tensor] = replace(together, samples=samples)
        return statistics


def observe(graph: Graph, tensors: Iterable[str]) -> Observation:
    """Find the tensors that must be exposed so that all of these are known."""
    wanted = dict.fromkeys(tensors)
    follows: dict[str, tuple[str, ...]] = {}
    for node in graph.nodes:  # in topological order, so that parts come first
        if len(node.outputs) != 1:
            continue
        data = ops.traits(node).data
        parts = tuple(node.inputs if data is None else (node.inputs[slot] for slot in data))
        parts *= node_inputs.repeats(graph, node)
        alike = all(part in wanted and graph.home(part) == node.scope for part in parts)
        if node.outputs[0] in wanted and parts and alike:  # a body does not run once
            follows[node.outputs[0]] = parts
    return Observation(exposed=tuple(t for t in wanted if t not in follows), follows=follows)


def _times(tensor: TensorStatistics, count: int) -> TensorStatistics:
    if count == 1:
        return tensor
    half = _times(tensor, count // 2)
    return half + half + tensor if count % 2 else half + half


def in_passes(
    tensors: Sequence[str], size: Mapping[str, int], limit: int | None
) -> tuple[tuple[str, ...], ...]:
    """Cut tensors, in order, into runs whose sizes (bytes) stay within a limit where they can.

    A tensor above the limit gets a run of its own; without tensors there is one empty run.
    """
    passes: list[list[str]] = [[]]
    free = limit
    for tensor in tensors:
        if free is not None and limit is not None:
            if passes[-1] and size[tensor] > free:
                passes.append([])
                free = limit
            free -= size[tensor]
        passes[-1].append(tensor)
    return tuple(map(tuple, passes))
