"""Numeric: the float model against Q/DQ models in onnxruntime, sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from onnxq.diagnostics import Diagnostic, OnnxqError, error, warning
from onnxq.feeds.samples import Sample, Tensors
from onnxq.linting.qdq import QdqModel
from onnxq.model import io as models
from onnxq.model import preparing
from onnxq.model.graph import Graph
from onnxq.model.inner_outputs import with_inner_outputs
from onnxq.runnable import runnable
from onnxq.sessions import Libraries
from onnxq.verification.labels import Labels, class_names
from onnxq.verification.numeric.accuracy import Accuracy, AccuracyTotals
from onnxq.verification.numeric.comparison import Comparison, Totals
from onnxq.verification.numeric.cut_model import CutModel
from onnxq.verification.numeric.inner import InnerTensors
from onnxq.verification.numeric.runners import infer, runner
from onnxq.verification.numeric.tensors import TensorComparison, TensorTotals, culprits

ModelOrPath = onnx.ModelProto | str | Path
Progress = Callable[[int], None]  # called with the number of samples done so far


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericReport:
    """One Q/DQ model against the float model over `samples` samples.

    `outputs` are all outputs in the float model's order. `tensors`, if requested, are all pairs
    and weighted ops along the network. `unmatched` are the names of nodes whose tensors the float
    model does not have, `inside` the names of nodes in bodies of If, Loop and Scan; both are not
    compared. `accuracy` is None without labels. Of an output behind an op that onnxruntime cannot
    run, `stand_ins` has the tensors in front of the op that `outputs` has in its place, and `notes`
    say so; none for an output that has nothing to compare in front of the op.
    """

    samples: int
    outputs: tuple[Comparison, ...]
    accuracy: Accuracy | None = None
    tensors: tuple[TensorComparison, ...] = ()
    unmatched: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    stand_ins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()

    @property
    def sqnr_db(self) -> float | None:
        """The lowest SQNR of all float outputs; None if that of an output is unknown."""
        return _lowest([o.sqnr_db for o in self.outputs if o.is_float or o.problem])

    @property
    def cosine(self) -> float | None:
        """The lowest cosine of all float outputs; None if that of an output is unknown."""
        return _lowest([o.cosine for o in self.outputs if o.is_float or o.problem])

    @property
    def culprits(self) -> tuple[str, ...]:
        """The fewest nodes whose local noise adds up to half of the total, in network order."""
        return culprits(self.tensors)


def _lowest(figures: Sequence[float | None]) -> float | None:
    measured = [figure for figure in figures if figure is not None]
    return min(measured) if 0 < len(measured) == len(figures) else None


def compare(
    float_model: ModelOrPath,
    qdq_model: ModelOrPath,
    feed: Iterable[Sample],
    *,
    tensors: bool = False,
    labels: Labels | None = None,
    libraries: Libraries = (),
    progress: Progress | None = None,
) -> NumericReport:
    """Run both models on every sample of `feed` and compare the outputs.

    `tensors` compares every pair and weighted op too, `labels` how often the class is right.
    `libraries` have custom ops for onnxruntime. Outputs behind an op that it cannot run are
    compared in front of the op.
    Samples are read one at a time and dropped, so memory does not grow with their number.
    The models run on the CPU, float16 ops in float16; the same files and samples give the same
    figures on the same machine.
    Raises OQ603 when inputs or outputs differ, OQ401 without samples, OQ404 when a sample does not
    fit the inputs, OQ305 when onnxruntime cannot load or run a model, OQ651 to OQ653 when labels
    do not fit.
    """
    (report,) = compare_all(
        float_model,
        [qdq_model],
        feed,
        tensors=tensors,
        labels=labels,
        libraries=libraries,
        progress=progress,
    )
    if isinstance(report, Diagnostic):
        raise OnnxqError(report)
    return report


def compare_all(
    float_model: ModelOrPath,
    qdq_models: Sequence[ModelOrPath],
    feed: Iterable[Sample],
    *,
    tensors: bool = False,
    labels: Labels | None = None,
    libraries: Libraries = (),
    progress: Progress | None = None,
) -> tuple[NumericReport | Diagnostic, ...]:
    """Compare several Q/DQ models with one float model, which runs once per sample.

    Arguments and errors are those of `compare`, but a Q/DQ model that onnxruntime cannot load or
    run has its OQ305 as the result, and the other models are still compared. The result is OQ606
    where nothing can be compared.
    """
    whole = _as_inserted(_proto(float_model))
    cut_model = CutModel(whole, runnable(whole, libraries))
    reference = cut_model.model
    if not cut_model.outputs:
        (first, *_) = cut_model.notes(())
        return (first,) * len(qdq_models)
    with ExitStack() as open_models:
        graph = Graph(reference) if tensors else None
        subjects = [
            _QdqRun(_proto(m), cut_model, graph, libraries, open_models) for m in qdq_models
        ]
        for subject in subjects:
            subject.label(labels, class_names(reference))
        wanted = dict.fromkeys(name for subject in subjects for name in subject.references)
        opened = with_inner_outputs(reference, wanted) if wanted else reference
        float_runner = open_models.enter_context(runner(opened, "the float model", libraries))
        samples = 0
        for sample in feed:
            expected = infer(float_runner, sample.tensors)
            for subject in subjects:
                subject.add(sample, expected)
            samples += 1
            if progress is not None:
                progress(samples)
    if not samples:
        raise error("OQ401", "there is no sample to compare the models on", fix="give --data")
    return tuple(subject.result(samples) for subject in subjects)


def _proto(model: ModelOrPath) -> onnx.ModelProto:
    return model if isinstance(model, onnx.ModelProto) else models.load(model)


def _as_inserted(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model as `insert` prepares it: raising the opset can rename tensors."""
    try:
        return preparing.prepare(model)
    except OnnxqError:
        return preparing.name_nodes(model)  # onnxruntime refuses nodes that share a name


class _QdqRun:
    """One Q/DQ model that runs on every sample, and the sums of its differences."""

    def __init__(
        self,
        proto: onnx.ModelProto,
        cut_model: CutModel,
        graph: Graph | None,
        libraries: Libraries,
        open_models: ExitStack,
    ) -> None:
        require_same_ports(cut_model.whole, proto)
        self._cut_model = cut_model
        self._inputs = _ports(cut_model.model.graph, "input")
        self._half = _half_inputs(proto)
        proto = cut_model.like(proto, runnable(proto, libraries))
        given_out = _ports(proto.graph, "output")
        self._outputs = {n: Totals(n) for n in cut_model.outputs if n in given_out}
        self._inner = None if graph is None else InnerTensors(graph, QdqModel(proto))
        self._tensors: TensorTotals | None = None
        self._accuracy: AccuracyTotals | None = None
        self._failed: Diagnostic | None = None
        opened = proto
        if self._inner is not None:
            opened = with_inner_outputs(proto, dict.fromkeys(s.measured for s in self._inner.sites))
        try:
            self._runner = open_models.enter_context(runner(opened, "the Q/DQ model", libraries))
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
        for name, total in self._outputs.items():
            total.add(sample.name, expected[name], computed[name])
        if self._accuracy is not None:
            scores = (
                {name: outputs[name] for name in self._outputs} for outputs in (expected, computed)
            )
            self._accuracy.add(sample, *scores)
        if self._tensors is not None:
            self._tensors.add(sample.name, {**sample.tensors, **expected}, computed)

    def result(self, samples: int) -> NumericReport | Diagnostic:
        """The figures, or the reason why the model did not run."""
        if self._failed is not None:
            return self._failed
        return NumericReport(
            samples=samples,
            outputs=(
                *(total.result() for total in self._outputs.values()),
                *self._cut_model.incomparable(self._outputs),
            ),
            accuracy=self._accuracy.result() if self._accuracy is not None else None,
            tensors=self._tensors.results() if self._tensors is not None else (),
            unmatched=self._inner.unmatched if self._inner is not None else (),
            inside=self._inner.inside if self._inner is not None else (),
            stand_ins=self._cut_model.stand_ins(self._outputs),
            notes=self._cut_model.notes(self._outputs),
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
