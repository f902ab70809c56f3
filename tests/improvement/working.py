"""What an improver is given, for a model and samples, without the stage around it."""

import numpy as np

import onnxq
from onnxq.improvement.edits import Edits
from onnxq.improvement.improver import Work
from onnxq.improvement.loss import Judge
from onnxq.improvement.steps import decibel
from onnxq.improvement.subject import Subject


def work_on(proto, data, recipe="trt-int8", statistics=None):
    """All that the recipe lets an improver act on, scales from the samples or the statistics."""
    model = onnxq.load(proto)
    plan = onnxq.plan(model, recipe)
    statistics = statistics or onnxq.calibrate(model, list(data))
    scales = onnxq.scales(model, plan, statistics)
    subject = Subject(
        original=model,
        model=model.proto,
        plan=scales.carried_out(plan),
        plan_digest=plan.digest,
        statistics=statistics,
        scales=scales,
        observe=lambda proto, graph, tensors: onnxq.calibrate(proto, list(data)),
        edits=Edits(),
    )
    return Work(
        subject=subject,
        targets=tuple(op.node for op in plan.improvable),
        fitting=tuple(data),
        judge=Judge(model=model.proto, graph=model.graph, samples=tuple(data)),
    )


def gain(work, edits, others):
    """By how many dB edits lower the noise of the outputs on other samples."""
    subject = work.subject
    judge = Judge(model=subject.original.proto, graph=subject.original.graph, samples=others)
    before, after = (judge.loss(s.quantized()) for s in (subject, subject.edited(edits)))
    assert np.isfinite(after)
    return decibel(after) - decibel(before)
