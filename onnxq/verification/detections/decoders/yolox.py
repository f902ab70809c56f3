"""YOLOX as its exporter writes it by default: boxes relative to the cells of three grids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from onnxq.verification.detections.boxes import corners
from onnxq.verification.detections.decoding import (
    Arrays,
    SampleDetections,
    decoder,
    unknown_outputs,
)

_STRIDES: Final = ((8, 16, 32), (8, 16, 32, 64))  # the latter with --p6


@decoder("yolox")
def yolox(outputs: Arrays, inputs: Arrays, classes: int) -> Sequence[SampleDetections]:
    """Candidates of an output [batch, cells, 5 + classes] that is not decoded in the graph.

    x, y and the logarithms of width and height are in units of the cell, after Ge et al.,
    arXiv:2107.08430, and `demo_postprocess` of its code. Objectness and class scores are from 0 to
    1. The grid follows from the picture, the first input of rank 4, NCHW or NHWC.
    """
    picture = next((a.shape for a in inputs.values() if a.ndim == 4), None)
    rows = next((a for a in outputs.values() if a.ndim == 3 and a.shape[2] >= 6), None)
    if picture is None or rows is None:
        wanted = "a picture as input and an output [batch, cells, 5 + classes]"
        raise unknown_outputs("yolox", outputs, wanted)
    height, width = picture[2:] if picture[1] in (1, 3, 4) else picture[1:3]
    grids = (_grid(height, width, strides) for strides in _STRIDES)
    grid = next((g for g in grids if len(g) == rows.shape[1]), None)
    if grid is None:
        wanted = f"the cells of strides 8, 16 and 32 of a picture of {height} x {width}"
        raise unknown_outputs("yolox", outputs, wanted)
    places, strides = grid[:, :2], grid[:, 2:]
    result = []
    for item in rows.astype(np.float64):
        centre = (item[:, :2] + places) * strides
        size = np.exp(np.minimum(item[:, 2:4], 50)) * strides
        scores = item[:, 5 : 5 + classes if classes else None]
        best = scores.argmax(axis=1)
        confidences = item[:, 4] * scores[np.arange(len(item)), best]
        result.append(
            SampleDetections(corners(np.concatenate([centre, size], axis=1)), confidences, best)
        )
    return result


def _grid(height: int, width: int, strides: Sequence[int]) -> NDArray[np.float64]:
    """Column, row and stride of each cell, [cells, 3]."""
    levels = []
    for stride in strides:
        y, x = np.mgrid[: height // stride, : width // stride]
        levels.append(np.stack([x, y, np.full_like(x, stride)], axis=-1).reshape(-1, 3))
    return np.concatenate(levels).astype(np.float64)
