"""SSD, RetinaNet, torchvision and DETR exports: boxes in one output, scores in another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnxq.verification.detections.decoding import (
    Arrays,
    SampleDetections,
    decoder,
    unknown_outputs,
)

_WANTED: Final = "boxes [batch, candidates, 4], and scores [batch, candidates] or with classes"


@decoder("ssd")
def ssd(outputs: Arrays, inputs: Arrays, classes: int) -> Sequence[SampleDetections]:
    """Candidates of an output of boxes [batch, candidates, 4] as corners, and one of scores.

    Scores are [batch, candidates], beside classes of the same shape, or [batch, candidates,
    classes] or [batch, classes, candidates]. If those of a candidate add up to 1, the first class
    is the background. The batch may be missing in all of them.
    """
    name, boxes = _boxes(outputs)
    count = boxes.shape[1]
    others = {n: _batched(a, boxes) for n, a in outputs.items() if n != name}
    flat = [a for a in others.values() if a.shape == boxes.shape[:2]]
    scores = _first([a for a in flat if a.dtype.kind == "f" and _are_scores(a)])
    if scores is not None:
        labels = _first([a for a in flat if a is not scores])
        chosen = np.zeros(scores.shape) if labels is None else labels
        return [SampleDetections(*item) for item in zip(boxes, scores, chosen, strict=True)]
    tables = [a for a in others.values() if a.ndim == 3 and a.dtype.kind == "f"]
    table = _first([a for a in tables if a.shape[1] == count])
    if table is None:
        table = _first([a.transpose(0, 2, 1) for a in tables if a.shape[2] == count])
    if table is None:
        raise unknown_outputs("ssd", outputs, _WANTED)
    return [_best(*item) for item in zip(boxes, table, strict=True)]


def _boxes(outputs: Arrays) -> tuple[str, NDArray[Any]]:
    """The output whose last axis has four values, with a batch; of several the widest values."""
    box_outputs = {
        n: a if a.ndim == 3 else a[None]
        for n, a in outputs.items()
        if a.ndim in (2, 3) and a.shape[-1] == 4 and a.dtype.kind == "f"
    }
    if not box_outputs:
        raise unknown_outputs("ssd", outputs, _WANTED)
    named = next((n for n in box_outputs if "box" in n.lower()), next(iter(box_outputs)))
    return named, box_outputs[named]


def _batched(array: NDArray[Any], boxes: NDArray[Any]) -> NDArray[Any]:
    has_none = array.ndim and array.shape[0] == boxes.shape[1] != boxes.shape[0] == 1
    return array[None] if has_none else array


def _first(arrays: Sequence[NDArray[Any]]) -> NDArray[Any] | None:
    return arrays[0] if arrays else None


def _are_scores(array: NDArray[Any]) -> bool:
    return bool(np.all((array >= 0) & (array <= 1)))


def _best(boxes: NDArray[Any], table: NDArray[Any]) -> SampleDetections:
    """The best class of each candidate, but the background."""
    has_background = table.shape[1] > 1 and np.allclose(table.sum(axis=1), 1, atol=1e-2)
    scores = table[:, int(has_background) :]
    best = scores.argmax(axis=1)
    return SampleDetections(boxes, scores[np.arange(len(scores)), best], best)
