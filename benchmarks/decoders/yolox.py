"""Detections of the YOLOX in ddddocr, as that package reads its output (Apache-2.0 YOLOX)."""

import numpy as np

STRIDES = (8, 16, 32)
SCORE = 0.1  # ddddocr's own limits
OVERLAP = 0.45


def detections(outputs, inputs):
    """Return (boxes [n, 4] xyxy, scores [n], classes [n]) for each sample."""
    (images,), (rows,) = inputs.values(), outputs.values()
    return [_of_one(sample, images.shape[-2:]) for sample in rows.astype(np.float64)]


def _of_one(rows, size):
    grid, stride = _cells(size)
    centres = (rows[:, :2] + grid) * stride
    half = np.exp(np.minimum(rows[:, 2:4], 10)) * stride / 2
    scores = rows[:, 4:5] * rows[:, 5:]
    classes = scores.argmax(1)
    scores = scores.max(1)
    boxes = np.concatenate([centres - half, centres + half], axis=1)
    likely = np.flatnonzero(scores > SCORE)
    kept = likely[_without_overlaps(boxes[likely], scores[likely])]
    return boxes[kept], scores[kept], classes[kept]


def _cells(size):
    """Return the cells' coordinates and strides, in the order of the output's rows."""
    grids, strides = [], []
    for stride in STRIDES:
        height, width = size[0] // stride, size[1] // stride
        y, x = np.mgrid[:height, :width]
        grids.append(np.stack([x.ravel(), y.ravel()], axis=1))
        strides.append(np.full((height * width, 1), stride))
    return np.concatenate(grids), np.concatenate(strides)


def _without_overlaps(boxes, scores):
    """Return the indices that non-maximum suppression keeps."""
    order, kept = np.argsort(-scores, kind="stable"), []
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    while order.size:
        first, order = order[0], order[1:]
        kept.append(first)
        low = np.maximum(boxes[first, :2], boxes[order, :2])
        high = np.minimum(boxes[first, 2:], boxes[order, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        order = order[shared <= OVERLAP * (area[first] + area[order] - shared)]
    return np.array(kept, int)
