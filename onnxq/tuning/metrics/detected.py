"""How far a detector agrees with its float model: what it keeps, and what it adds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import onnx

from onnxq.diagnostics import error
from onnxq.feeds.samples import Sample
from onnxq.sessions import Libraries
from onnxq.tuning.metrics.scoring import model_outputs
from onnxq.verification.detections import (
    DecoderLike,
    DetectionReport,
    Detections,
    DetectionTotals,
    load_decoder,
)
from onnxq.verification.labels import class_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The share of the float model's detections that is kept, or 1 - the share of new ones.

    The lower of the two counts, so that 0.97 keeps at least 97 % and adds at most 3 %.
    """

    name: str
    digest: str
    detections: Detections = field(repr=False, compare=False)
    float_model: onnx.ModelProto = field(repr=False, compare=False)

    def score(
        self, model: onnx.ModelProto, samples: Sequence[Sample], libraries: Libraries = ()
    ) -> float:
        """The agreement on the samples, at most 1; below 0 where most detections are new.

        Raises OQ305 when onnxruntime cannot run a model, OQ486 when the float model detects
        nothing, OQ682 and OQ683 for outputs that cannot be decoded.
        """
        report = self._report(model, samples, libraries)
        if report.kept is None or report.new is None:
            raise error(
                "OQ486",
                f"the float model detects nothing in {len(samples)} samples",
                fix="give samples that show what it detects, or a lower --detection-score",
            )
        return min(report.kept, 1 - report.new)

    def float_count(self, samples: Sequence[Sample], libraries: Libraries = ()) -> int:
        """How many detections the float model has in the samples."""
        outputs = model_outputs(self.float_model, samples, libraries)
        detected = (
            self.detections(arrays, sample.tensors)
            for sample, arrays in zip(samples, outputs, strict=True)
        )
        return sum(len(one.scores) for batch in detected for one in batch)

    def _report(
        self, model: onnx.ModelProto, samples: Sequence[Sample], libraries: Libraries
    ) -> DetectionReport:
        totals = DetectionTotals(self.detections)
        outputs = (model_outputs(m, samples, libraries) for m in (self.float_model, model))
        for sample, expected, computed in zip(samples, *outputs, strict=True):
            totals.add(sample.name, sample.tensors, expected, computed)
        return totals.result()


def agreement(decoder: DecoderLike, score: float | None, float_model: onnx.ModelProto) -> Agreement:
    """The metric by a decoder of `verify --detections` (OQ682); `score` is that of a detection."""
    classes = len(set(class_names(float_model).values()))
    detections = load_decoder(decoder, score, classes)
    content = detections.file.read_bytes() if detections.file else b""
    digest = hashlib.sha256(f"{detections.name} {detections.score} ".encode() + content)
    return Agreement(
        name=f"detections by {detections.name}",
        digest=digest.hexdigest(),
        detections=detections,
        float_model=float_model,
    )
