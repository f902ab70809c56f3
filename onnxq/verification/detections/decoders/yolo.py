"""YOLO: boxes and class scores of all candidates in one output, decoded in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnxq.verification.detections.boxes import corners
from onnxq.verification.detections.decoding import (
    Arrays,
    SampleDetections,
    decoder,
    unknown_outputs,
)

_MASKS: Final = 32  # prototypes, and coefficients of each candidate, of every YOLO for segmentation


@decoder("yolo")
def yolo(outputs: Arrays, inputs: Arrays, classes: int) -> Sequence[SampleDetections]:
    """Candidates of the output of rank 3, whose fewer channels tell the layout:

    - [batch, 4 + classes, candidates]: centre, width, height and a score for each class (YOLOv8,
      9, 11 and 12); channels behind the classes, such as mask coefficients, are left out;
    - [batch, candidates, 5 + classes]: with the objectness before the scores, which it multiplies
      (YOLOv5, 6 and 7, and YOLOX that decodes in the graph);
    - [batch, detections, 6]: corners, score and class, without duplicates (YOLOv10 and 26).
    """
    rows = _candidates(outputs)
    is_segmented = any(a.ndim == 4 and a.shape[1] == _MASKS for a in outputs.values())
    masks = _MASKS if is_segmented and min(rows.shape[1:]) > 5 + _MASKS else 0
    if rows.shape[1] < rows.shape[2] and rows.shape[1] >= 5:
        return [_of_classes(item.T, classes or rows.shape[1] - 4 - masks) for item in rows]
    if rows.shape[2] == 6 and _ends_in_a_class(rows):
        return [SampleDetections(item[:, :4], item[:, 4], item[:, 5]) for item in rows]
    if rows.shape[2] < 6:
        raise unknown_outputs("yolo", outputs, "an output [batch, candidates, 5 + classes]")
    return [_with_objectness(item, classes or rows.shape[2] - 5 - masks) for item in rows]


def _candidates(outputs: Arrays) -> NDArray[Any]:
    if any(array.ndim == 3 and 4 in array.shape[1:] for array in outputs.values()):
        raise unknown_outputs("yolo", outputs, "boxes and scores in one output (ssd takes two)")
    for array in outputs.values():
        if array.ndim == 3 and array.dtype.kind == "f" and min(array.shape[1:]) >= 5:
            return array
    wanted = "an output [batch, 4 + classes, candidates] or [batch, candidates, 5 + classes]"
    raise unknown_outputs("yolo", outputs, wanted)


def _ends_in_a_class(rows: NDArray[Any]) -> bool:
    """True for rows of corners, a score and a whole number."""
    last = rows[..., 5]
    return bool(np.all(last == np.round(last)) and np.all(rows[..., 2:4] >= rows[..., :2]))


def _of_classes(rows: NDArray[Any], classes: int) -> SampleDetections:
    scores = rows[:, 4 : 4 + classes]
    best = scores.argmax(axis=1)
    return SampleDetections(corners(rows), scores[np.arange(len(rows)), best], best)


def _with_objectness(rows: NDArray[Any], classes: int) -> SampleDetections:
    scores = rows[:, 5 : 5 + classes]
    best = scores.argmax(axis=1)
    return SampleDetections(corners(rows), rows[:, 4] * scores[np.arange(len(rows)), best], best)
