"""One Q/DQ model that runs beside the float model, sample by sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from contextlib import ExitStack
from typing import Any

import numpy as np
import onnx

from onnxq.diagnostics import Diagnostic, OnnxqError, error, warning
from onnxq.feeds.samples import Sample, Tensors
from onnxq.linting.qdq import QdqModel
from onnxq.model.graph import Graph
from onnxq.model.influence import row_orders
from onnxq.model.inner_outputs import with_inner_outputs
from onnxq.runnable import runnable
from onnxq.sessions import Libraries, has_pairs
from onnxq.verification.detections import Detections, DetectionTotals
from onnxq.verification.labels import Labels
from onnxq.verification.numeric.accuracy import AccuracyTotals
from onnxq.verification.numeric.comparison import Comparison
from onnxq.verification.numeric.cut_model import CutModel
from onnxq.verification.numeric.inner import InnerTensors
from onnxq.verification.numeric.outputs import OutputTotals
from onnxq.verification.numeric.parts import Part
from onnxq.verification.numeric.report import NumericReport
from onnxq.verification.numeric.row_matcher import RowMatcher
from onnxq.verification.numeric.runners import infer, runner
from onnxq.verification.numeric.tensors import TensorTotals


class QdqRun:
    """One Q/DQ model that runs on every sample, and the sums of its differences."""

    def __init__(
        self,
        proto: onnx.ModelProto,
        cut_model: CutModel,
        graph: Graph,
        parts: Sequence[Part],
        libraries: Libraries,
        open_models: ExitStack,
        *,
        tensors: bool,
    ) -> None:
        require_same_ports(cut_model.whole, proto)
        self._cut_model = cut_model
        self._inputs = _ports(cut_model.model.graph, "input")
        self._half = _half_inputs(proto)
        proto = cut_model.like(proto, runnable(proto, libraries))
        given_out = _ports(proto.graph, "output")
        self._outputs = {
            name: OutputTotals(name, [p for p in parts if p.output == name], graph)
            for name in cut_model.outputs
            if name in given_out
        }
        orders = {n: order for n, order in row_orders(graph).items() if n in self._outputs}
        self._matchers = [
            RowMatcher({name: order for name, order in orders.items() if order.node == node})
            for node in dict.fromkeys(order.node for order in orders.values())
        ]
        self._inner = InnerTensors(graph, QdqModel(proto)) if tensors else None
        self._tensors: TensorTotals | None = None
        self._accuracy: AccuracyTotals | None = None
        self._detections: DetectionTotals | None = None
        self._failed: Diagnostic | None = None
        opened = proto
        if self._inner is not None:
            opened = with_inner_outputs(proto, dict.fromkeys(s.measured for s in self._inner.sites))
        try:
            # A model without pairs runs as the float model does: where it is the same, so are bits.
            self._runner = open_models.enter_context(
                runner(opened, "the Q/DQ model", libraries, as_written=has_pairs(opened))
            )
        except OnnxqError as failed:
            self._failed = _without_bfloat16(proto) or failed.diagnostics[0]
            return
        if self._inner is not None:
            self._tensors = TensorTotals(self._inner)

    @property
    def references(self) -> tuple[str, ...]:
        """Inner tensors that the float model must have as outputs."""
        if self._inner is None or self._failed is not None:
            return ()
        return tuple(t for t in self._inner.references if t not in self._inputs)

    def detect(self, detections: Detections | None) -> None:
        """Compare detections too, if there is a decoder."""
        self._detections = None if detections is None else DetectionTotals(detections)

    def label(self, labels: Labels | None, names: dict[str, int]) -> None:
        """Compare classes too, if there are labels."""
        self._accuracy = None if labels is None else AccuracyTotals(labels, names)

    def add(self, sample: Sample, expected: Mapping[str, Any]) -> None:
        """Run the model on a sample, unless it failed on an earlier one."""
        if self._failed is not None:
            return
        try:
            computed = infer(self._runner, _rounded(sample.tensors, self._half))
        except OnnxqError as failed:
            if failed.diagnostics[0].code != "OQ305":
                raise
            self._failed = failed.diagnostics[0]
            return
        self._compare(sample.name, expected, computed)
        outputs = [{name: made[name] for name in self._outputs} for made in (expected, computed)]
        if self._accuracy is not None:
            self._accuracy.add(sample, *outputs)
        if self._detections is not None:
            self._detections.add(sample.name, sample.tensors, *outputs)
        if self._tensors is not None:
            self._tensors.add(sample.name, {**sample.tensors, **expected}, computed)

    def _compare(
        self, sample: str, expected: Mapping[str, Any], computed: Mapping[str, Any]
    ) -> None:
        """Compare the outputs, those with sorted rows row by row."""
        in_order = dict.fromkeys(self._outputs)
        for matcher in self._matchers:
            rows = (
                {name: outputs[name] for name in matcher.outputs}
                for outputs in (expected, computed)
            )
            for first, second in matcher.matched(*rows):
                for name in matcher.outputs:
                    self._outputs[name].add(sample, first[name], second[name])
            in_order = {name: None for name in in_order if name not in matcher.outputs}
        for name in in_order:
            self._outputs[name].add(sample, expected[name], computed[name])

    def _results(self) -> tuple[Comparison, ...]:
        results = {name: total.result() for name, total in self._outputs.items()}
        for matcher in self._matchers:
            results |= {name: matcher.judge(results[name]) for name in matcher.outputs}
        return tuple(results.values())

    def result(self, samples: int) -> NumericReport | Diagnostic:
        """The figures, or the reason why the model did not run."""
        if self._failed is not None:
            return self._failed
        return NumericReport(
            samples=samples,
            outputs=(*self._results(), *self._cut_model.incomparable(self._outputs)),
            accuracy=self._accuracy.result() if self._accuracy is not None else None,
            detections=self._detections.result() if self._detections is not None else None,
            tensors=self._tensors.results() if self._tensors is not None else (),
            unmatched=self._inner.unmatched if self._inner is not None else (),
            inside=self._inner.inside if self._inner is not None else (),
            stand_ins=self._cut_model.stand_ins(self._outputs),
            notes=(
                *self._cut_model.notes(self._outputs),
                *(self._accuracy.doubts() if self._accuracy is not None else ()),
            ),
        )


def require_same_ports(float_model: onnx.ModelProto, qdq_model: onnx.ModelProto) -> None:
    """Raise OQ603 when the names of the inputs or outputs of two models differ."""
    for kind in ("input", "output"):
        first, second = (_ports(m.graph, kind) for m in (float_model, qdq_model))
        if first != second:
            only = [f"only the float model has {sorted(first - second)}"] if first - second else []
            only += [f"only the Q/DQ model has {sorted(second - first)}"] if second - first else []
            raise error(
                "OQ603",
                f"the models have different {kind}s: {', '.join(only)}",
                fix="compare a Q/DQ model with the float model that it was made from",
            )


def _half_inputs(model: onnx.ModelProto) -> frozenset[str]:
    """Inputs that take float16."""
    half = onnx.TensorProto.FLOAT16
    return frozenset(i.name for i in model.graph.input if i.type.tensor_type.elem_type == half)


def _rounded(tensors: Tensors, half: Set[str]) -> Tensors:
    """Convert float32 tensors for inputs that are float16 (`onnxq insert --io-types half`)."""
    return {
        name: array.astype(np.float16) if name in half and array.dtype == np.float32 else array
        for name, array in tensors.items()
    }


def _without_bfloat16(model: onnx.ModelProto) -> Diagnostic | None:
    """OQ512 for a model that onnxruntime cannot load because of bfloat16."""
    if all(t.data_type != onnx.TensorProto.BFLOAT16 for t in model.graph.initializer):
        return None
    return warning(
        "OQ512",
        "onnxruntime does not compute bfloat16 on the CPU, so the models were not compared",
        fix="compare the model that the same recipe gives with --float fp32",
    )


def _ports(graph: onnx.GraphProto, kind: str) -> set[str]:
    """Names of inputs or outputs; initializers that are listed as inputs do not count."""
    return {port.name for port in getattr(graph, kind)} - {t.name for t in graph.initializer}
