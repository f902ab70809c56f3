"""Whether a Q/DQ model finds what its float model finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnxq.verification.detections.boxes import overlaps
from onnxq.verification.detections.decoding import Arrays, Detections, SampleDetections

SAME: Final = 0.5  # intersection over union of the boxes of one object


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionReport:
    """The float model's detections against those of the Q/DQ model, over all samples.

    `decoder` made them from the outputs, with at least the score `least_score` (None: as it
    decides). A detection is kept if the Q/DQ model has one of the same class with an intersection
    over union of 0.5 or more; each counts once, those with the best scores first. `kept`, and `new`
    of those that only the Q/DQ model has, are shares of the `float_count` detections; None when
    there are none. `mean_iou` and `score_change`, the mean of its score minus the float model's,
    are those of the kept ones. `worst_sample` is the sample that loses and adds most.
    """

    decoder: str
    least_score: float | None
    float_count: int
    count: int
    kept: float | None
    new: float | None
    mean_iou: float | None
    score_change: float | None
    worst_sample: str | None


class DetectionTotals:
    """Counts over the samples of one Q/DQ model."""

    def __init__(self, detections: Detections) -> None:
        self._detections = detections
        self._float = self._count = 0
        self._overlaps: list[float] = []
        self._changes: list[float] = []
        self._worst: tuple[int, str] | None = None

    def add(
        self,
        sample: str,
        inputs: Mapping[str, NDArray[Any]],
        expected: Arrays,
        computed: Arrays,
    ) -> None:
        """Count one sample, or the samples of one batch, by the outputs of both models."""
        before, after = (self._detections(outputs, inputs) for outputs in (expected, computed))
        for first, second in zip(before, after, strict=True):
            pairs = matched(first, second)
            self._float += len(first.scores)
            self._count += len(second.scores)
            for one, other, overlap in pairs:
                self._overlaps.append(overlap)
                self._changes.append(float(second.scores[other] - first.scores[one]))
            wrong = len(first.scores) + len(second.scores) - 2 * len(pairs)
            if wrong and (self._worst is None or wrong > self._worst[0]):
                self._worst = wrong, sample

    def result(self) -> DetectionReport:
        """The figures of all samples so far."""
        same, some = len(self._overlaps), self._float > 0
        return DetectionReport(
            decoder=self._detections.name,
            least_score=self._detections.score,
            float_count=self._float,
            count=self._count,
            kept=same / self._float if some else None,
            new=(self._count - same) / self._float if some else None,
            mean_iou=float(np.mean(self._overlaps)) if same else None,
            score_change=float(np.mean(self._changes)) if same else None,
            worst_sample=None if self._worst is None else self._worst[1],
        )


def matched(first: SampleDetections, second: SampleDetections) -> list[tuple[int, int, float]]:
    """Pairs of one class that overlap, with their overlap: the best score chooses first."""
    if not (len(first.scores) and len(second.scores)):
        return []
    table = overlaps(first.boxes, second.boxes)
    table[first.classes[:, None] != second.classes[None]] = 0
    pairs = []
    for one in np.argsort(-first.scores, kind="stable"):
        other = int(table[one].argmax())
        if table[one, other] >= SAME:
            pairs.append((int(one), other, float(table[one, other])))
            table[:, other] = 0
    return pairs
