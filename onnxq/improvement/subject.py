"""What improvers work on: a float model, its plan, and the scales of its pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import onnx

from onnxq.calibration.statistics import Statistics
from onnxq.improvement.edits import Edits, divided, edited, with_divisors
from onnxq.insertion.insert import insert, with_types
from onnxq.insertion.scales import Scale, Scales, compute_scales
from onnxq.model.graph import Graph
from onnxq.model.loading import Model
from onnxq.planning.plan import Pair, Plan

# Arguments: a model, and the activations to observe.
Observe = Callable[[onnx.ModelProto, Graph, Iterable[str]], Statistics]


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A float model with all edits so far.

    `original` is the model as it was given, whose outputs all others are compared with, `model` the
    same with the edits. `plan` is that of the original, with the pairs that have a scale: edits
    change no name. `plan_digest` is that of the plan as the rules made it. `observe` gathers
    statistics of some activations of an edited model.
    """

    original: Model
    model: onnx.ModelProto
    plan: Plan
    plan_digest: str
    statistics: Statistics
    scales: Scales
    observe: Observe
    edits: Edits

    @cached_property
    def graph(self) -> Graph:
        """The view of `model`."""
        return Graph(self.model, digest=self.original.digest, shapes=self.original.shapes)

    def edited(self, edits: Edits) -> Subject:
        """The subject with further edits.

        Pairs on activations that moved and on weights that changed get the scales of their new
        values, unless the edits give one.
        """
        after = self._divided(edits)
        after = replace(after, model=edited(self.model, edits), edits=self.edits.then(edits))
        moved = edits.moved.union(divided(pair.tensor) for pair in edits.divisors)
        changed = {*moved, *self._changed_weights(after.graph, edits)}
        if moved:
            observed = self.observe(after.model, after.graph, moved)
            tensors = {**self.statistics.tensors, **observed.tensors}
            after = replace(after, statistics=replace(self.statistics, tensors=tensors))
        computed = after._computed(changed) if changed else {}
        by_pair = {**after.scales.by_pair, **computed, **edits.scales}
        return replace(after, scales=replace(after.scales, by_pair=by_pair))

    def restored(self, edits: Edits) -> Subject:
        """The subject with the edits of a saved improvement, which has all scales that changed."""
        after = self._divided(edits)
        by_pair = {**after.scales.by_pair, **edits.scales}
        return replace(
            after,
            model=edited(self.model, edits),
            edits=self.edits.then(edits),
            scales=replace(after.scales, by_pair=by_pair),
        )

    def quantized(self) -> onnx.ModelProto:
        """The Q/DQ model, as `onnxq insert` would write it."""
        return insert(with_types(self.model, self.plan), self.plan, self.scales)

    def _divided(self, edits: Edits) -> Subject:
        """The subject whose pairs stand behind their divisors."""
        by_pair = with_divisors(self.scales.by_pair, edits.divisors)
        scales = replace(self.scales, by_pair=by_pair)
        return replace(self, scales=scales, plan=scales.carried_out(self.plan))

    def _changed_weights(self, graph: Graph, edits: Edits) -> set[str]:
        """The tensors of weight pairs whose values differ; a constant may be folded into them."""
        if not edits.constants:
            return set()
        weights = {pair.tensor for pair in self.plan.pairs if pair.kind == "weight"}
        return {w for w in weights if not np.array_equal(graph.array(w), self.graph.array(w))}

    def _computed(self, changed: set[str]) -> Mapping[Pair, Scale]:
        """The scales of pairs on changed tensors, and of the share groups that have one."""
        groups = {p.group for p in self.plan.pairs if p.group is not None and p.tensor in changed}
        again = [p for p in self.plan.pairs if p.tensor in changed or p.group in groups]
        pairs = replace(self.plan, pairs=tuple(again), groups=())
        scales = compute_scales(self.graph, pairs, self.statistics).by_pair
        largest = {g: max(scales[p] for p in again if p.group == g) for g in groups}
        return {p: scales[p] if p.group is None else largest[p.group] for p in again}
