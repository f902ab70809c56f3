"""Sequential bias correction: each output channel gets the mean that the float model has there.

After Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019
(arXiv:1906.04721), section 4.2, with means from samples: b += mean(float) - mean(quantized), op by
op, so that each op is measured behind the corrected ones. A mean of few samples is uncertain: every
shift is shrunk by the variance of that mean, as by James and Stein ("Estimation with Quadratic
Loss", 1961), so that a shift within its own error is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx

from onnxq.improvement.edits import Edits, edited
from onnxq.improvement.improver import Work
from onnxq.improvement.staged import StagedRun
from onnxq.improvement.subject import Subject
from onnxq.improvement.weights.biased import Biased, Biases, Float64
from onnxq.insertion.insert import insert, with_types
from onnxq.model.graph import Graph


class Bias:
    """Corrects the bias of Conv, ConvTranspose, Gemm, and of MatMul with an Add behind it."""

    def improve(self, work: Work) -> Edits:
        """Return the shifted biases, and new ones of ops that had none."""
        subject = work.subject
        ops, reasons = Biases(subject.model, subject.graph).of(work.targets)
        edits = Edits(notes={name: f"left alone: {why}" for name, why in reasons.items()})
        for op, shift in _Correction(work, ops).shifts():
            if shift.any():
                size = np.sqrt(np.mean(shift**2))
                edits = edits.then(
                    op.edits(shift, f"bias shifted by {size:.3g} (root mean square)")
                )
        return edits


class _Correction:
    """The models side by side, corrected as far as they have run."""

    def __init__(self, work: Work, ops: Sequence[Biased]) -> None:
        self._work, self._ops = work, ops
        zeros = {op.node.name: op.values for op in ops if not op.constant}
        model = edited(work.subject.model, Edits(biases=zeros))
        inputs = {node.name: node.input for node in model.graph.node}
        self._names = {op.node.name: op.constant or inputs[op.node.name][2] for op in ops}
        outputs = [op.output for op in ops]
        libraries = work.judge.libraries
        self._quantized = StagedRun(
            _quantized(work.subject, model),
            work.fitting,
            outputs,
            is_edited=True,
            libraries=libraries,
        )
        self._reference = StagedRun(
            work.expected, work.fitting, outputs, is_edited=False, libraries=libraries
        )

    def shifts(self) -> Iterator[tuple[Biased, Float64]]:
        """The shift of each op, in an order in which each comes after those before it."""
        done, total = 0, len(self._ops) * len(self._work.fitting)
        for ops in by_depth(self._work.subject.graph, self._ops):
            errors: dict[str, list[Float64]] = {op.output: [] for op in ops}
            outputs = list(errors)
            pairs = zip(
                self._reference.values(outputs), self._quantized.values(outputs), strict=True
            )
            for expected, computed in pairs:
                for op in ops:
                    name = op.output
                    errors[name].append(
                        op.channel_means(expected[name]) - op.channel_means(computed[name])
                    )
                done += len(ops)
                self._work.progress(done, total)
            for op in ops:
                shift = shrunk(np.array(errors[op.output]))
                self._quantized.set_constants({self._names[op.node.name]: op.shifted(shift)})
                yield op, shift


def _quantized(subject: Subject, model: onnx.ModelProto) -> onnx.ModelProto:
    return insert(with_types(model, subject.plan), subject.plan, subject.scales)


def by_depth(graph: Graph, ops: Sequence[Biased]) -> list[list[Biased]]:
    """The ops in groups: each comes after the groups with ops that it depends on."""
    chosen = {op.node.name: op for op in ops}
    depths: dict[str, int] = {}
    for node in graph.nodes:
        before = (depths.get(n.name, 0) + (n.name in chosen) for n in graph.predecessors[node.name])
        depths[node.name] = max(before, default=0)
    groups: dict[int, list[Biased]] = {}
    for op in ops:
        groups.setdefault(depths[op.node.name], []).append(op)
    return [groups[depth] for depth in sorted(groups)]


def shrunk(errors: Float64) -> Float64:
    """The mean over samples (rows), each number times 1 - variance of the mean / mean**2, or 0.

    Zeros for fewer than two samples, whose variance is not known, and where something is not
    finite.
    """
    if len(errors) < 2:
        return np.zeros(errors.shape[1:])
    with np.errstate(all="ignore"):
        mean = errors.mean(axis=0)
        variance = errors.var(axis=0, ddof=1) / len(errors)
        kept = np.maximum(0, 1 - variance / mean**2)
        return np.asarray(np.nan_to_num(mean * kept, nan=0, posinf=0, neginf=0))
