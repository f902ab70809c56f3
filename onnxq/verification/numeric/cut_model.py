"""The float model as far as onnxruntime can run it, and what is compared in place of outputs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

import onnx

from onnxq.diagnostics import Diagnostic, counted, warning
from onnxq.model.cutting import Culprit, Cut
from onnxq.model.inner_outputs import with_inner_outputs
from onnxq.model.ops import PRODUCTS, type_of
from onnxq.model.scopes import defined
from onnxq.verification.numeric.comparison import Comparison, Totals


class CutModel:
    """A float model, cut where `part` is given; `model` is what is left to run.

    Where an output is behind the cut, the last tensors in front of the cut stand for it.
    """

    def __init__(self, whole: onnx.ModelProto, part: Cut | None) -> None:
        self.whole, self._part = whole, part
        self.model = whole if part is None else part.model

    def like(self, qdq: onnx.ModelProto, part: Cut | None) -> onnx.ModelProto:
        """A Q/DQ model cut in the same way, with the outputs of `model` that it has.

        A Q/DQ model with ops of its own that cannot be run stays whole: what is in front of these
        says nothing about it.
        """
        if self._part is None or part is None:
            return qdq
        known = {(culprit.op, culprit.inside) for culprit in self._part.culprits}
        if any((culprit.op, culprit.inside) not in known for culprit in part.culprits):
            return qdq
        have = set(defined(part.model.graph))
        return with_inner_outputs(part.model, [n for n in self.outputs if n in have])

    @property
    def outputs(self) -> tuple[str, ...]:
        """The outputs of the model, the stand-ins last."""
        return tuple(o.name for o in self.model.graph.output)

    def stand_ins(self, compared: Collection[str]) -> dict[str, tuple[str, ...]]:
        """By output behind the cut: the tensors that are compared in its place."""
        lost = {} if self._part is None else self._part.stand_ins
        return {name: tuple(t for t in tensors if t in compared) for name, tensors in lost.items()}

    def incomparable(self, compared: Collection[str]) -> Iterator[Comparison]:
        """A comparison without figures for each output that has nothing in its place."""
        for name, tensors in self.stand_ins(compared).items():
            if not tensors:
                problem = f"it is behind {self._culprit(name)}, which onnxruntime cannot run"
                yield replace(Totals(name).result(), problem=problem)

    def notes(self, compared: Collection[str]) -> tuple[Diagnostic, ...]:
        """Say of each output behind the cut what is compared in its place (OQ606)."""
        alike: dict[tuple[Culprit, tuple[str, ...]], list[str]] = {}
        for name, tensors in self.stand_ins(compared).items():
            alike.setdefault((self._culprit(name), tensors), []).append(name)
        return tuple(
            self._note(culprit, tensors, names) for (culprit, tensors), names in alike.items()
        )

    def _culprit(self, output: str) -> Culprit:
        assert self._part is not None
        return self._part.behind[output]

    def _note(self, culprit: Culprit, tensors: tuple[str, ...], names: list[str]) -> Diagnostic:
        outputs = f"{'outputs' if len(names) > 1 else 'output'} {_listed(names)}"
        instead = f"{_listed(tensors)} in front of it, in place of the {outputs}"
        products = self._products_behind(culprit)
        left_out = f"; {counted(products, 'weighted op')} behind it left out" if products else ""
        does = f"compares {instead}{left_out}" if tensors else f"cannot compare the {outputs}"
        return warning(
            "OQ606",
            f"onnxruntime cannot run {culprit}, so verify {does}",
            fix="give the library that has the op with --ort-library LIB.so, or judge the outputs "
            "by an engine",
        )

    def _products_behind(self, culprit: Culprit) -> int:
        assert self._part is not None
        behind = {name for name, before in self._part.nodes.items() if before == culprit}
        nodes = (n for n in self.whole.graph.node if n.name in behind)
        return sum(type_of(node) in PRODUCTS for node in nodes)


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
