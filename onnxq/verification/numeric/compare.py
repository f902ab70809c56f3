"""Numeric: the float model against Q/DQ models in onnxruntime, sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import onnx

from onnxq.diagnostics import Diagnostic, OnnxqError, error
from onnxq.feeds.samples import Sample
from onnxq.model import io as models
from onnxq.model import preparing
from onnxq.model.graph import Graph
from onnxq.model.inner_outputs import with_inner_outputs
from onnxq.runnable import runnable
from onnxq.sessions import Libraries
from onnxq.verification.detections import Detections
from onnxq.verification.labels import Labels, class_names
from onnxq.verification.numeric.cut_model import CutModel
from onnxq.verification.numeric.parts import Part, PartsLike, parse_parts
from onnxq.verification.numeric.qdq_run import QdqRun
from onnxq.verification.numeric.report import NumericReport
from onnxq.verification.numeric.runners import infer, runner

ModelOrPath = onnx.ModelProto | str | Path
Progress = Callable[[int], None]  # called with the number of samples done so far


def compare(
    float_model: ModelOrPath,
    qdq_model: ModelOrPath,
    feed: Iterable[Sample],
    *,
    parts: PartsLike | None = None,
    tensors: bool = False,
    labels: Labels | None = None,
    detections: Detections | None = None,
    libraries: Libraries = (),
    progress: Progress | None = None,
) -> NumericReport:
    """Run both models on every sample of `feed` and compare the outputs.

    `parts`, such as {"scores": "output0[:,4:]"}, are compared apart; without any of an output, its
    groups of channels that differ much in power are.
    `tensors` compares every pair and weighted op too, `labels` how often the class is right,
    `detections` what a decoder finds in the outputs.
    `libraries` have custom ops for onnxruntime. Outputs behind an op that it cannot run are
    compared in front of the op.
    Samples are read one at a time and dropped, so memory does not grow with their number.
    The models run on the CPU, float16 ops in float16; the same files and samples give the same
    figures on the same machine.
    Raises OQ603 when inputs or outputs differ, OQ401 without samples, OQ404 when a sample does not
    fit the inputs, OQ305 when onnxruntime cannot load or run a model, OQ651 to OQ653 when labels
    do not fit, OQ680 when a part does not, OQ682 and OQ683 when the decoder does not.
    """
    float_model = _proto(float_model)
    named = parse_parts(parts, Graph(preparing.name_nodes(float_model))) if parts else ()
    (report,) = compare_all(
        float_model,
        [qdq_model],
        feed,
        parts=named,
        tensors=tensors,
        labels=labels,
        detections=detections,
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
    parts: Sequence[Part] = (),
    tensors: bool = False,
    labels: Labels | None = None,
    detections: Detections | None = None,
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
        graph = Graph(reference)
        subjects = [
            QdqRun(_proto(m), cut_model, graph, parts, libraries, open_models, tensors=tensors)
            for m in qdq_models
        ]
        for subject in subjects:
            subject.label(labels, class_names(reference))
            subject.detect(detections)
        wanted = dict.fromkeys(name for subject in subjects for name in subject.references)
        opened = with_inner_outputs(reference, wanted) if wanted else reference
        float_runner = open_models.enter_context(
            runner(opened, "the float model", libraries, as_written=False)
        )
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
