"""Top-1 of a classifier, by a file of labels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from onnxq.diagnostics import Diagnostic
from onnxq.feeds.samples import Sample
from onnxq.sessions import Libraries
from onnxq.tuning.metrics.scoring import model_outputs
from onnxq.verification import labels as label_files
from onnxq.verification.labels import Labels, class_names
from onnxq.verification.numeric.accuracy import AccuracyTotals


@dataclass(frozen=True, slots=True, kw_only=True)
class Top1:
    """The share of samples with a label whose class is right, from 0 to 1."""

    name: str
    digest: str
    labels: Labels = field(repr=False, compare=False)

    def score(
        self, model: onnx.ModelProto, samples: Sequence[Sample], libraries: Libraries = ()
    ) -> float:
        """Top-1 of the first output [1, classes]; a sample with NaN scores is wrong.

        Raises OQ305 when onnxruntime cannot run the model, OQ651 when no sample has a label, OQ652
        for a class that the model lacks, OQ653 for a model that is no classifier of single samples.
        """
        return self._totals(model, samples, libraries).result().top1

    def doubts(
        self, model: onnx.ModelProto, samples: Sequence[Sample], libraries: Libraries = ()
    ) -> tuple[Diagnostic, ...]:
        """Warn where a float model is no better than chance (OQ655)."""
        return tuple(self._totals(model, samples, libraries).doubts())

    def _totals(
        self, model: onnx.ModelProto, samples: Sequence[Sample], libraries: Libraries
    ) -> AccuracyTotals:
        totals = AccuracyTotals(self.labels, class_names(model))
        for sample, outputs in zip(samples, model_outputs(model, samples, libraries), strict=True):
            totals.add(sample, outputs, outputs)
        return totals


def top1(labels: str | Path) -> Top1:
    """The metric by a CSV file with a row for each sample: file name and class (OQ651)."""
    loaded = label_files.load(labels)
    digest = hashlib.sha256(b"top-1 " + Path(labels).read_bytes()).hexdigest()
    return Top1(name=f"top-1 of {labels}", digest=digest, labels=loaded)
