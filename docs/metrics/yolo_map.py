"""mAP of a YOLO at an overlap of 0.5.

labels/NAME.txt has a line for each object in the picture NAME: its class, then centre x, centre y,
width and height as shares of the picture.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

STRIDES = (8, 16, 32)
LEAST_SCORE, SAME_OBJECT, RIGHT = 0.01, 0.65, 0.5


def yolov8(output, size):
    """Boxes (centre, width, height) and scores of an output [4 + classes, candidates]."""
    return output[:4].T, output[4:].T


def yolox(output, size):
    """The same of an output [cells, 5 + classes] whose boxes are relative to their cells."""
    grids = [np.mgrid[: size[0] // s, : size[1] // s][::-1].reshape(2, -1).T for s in STRIDES]
    stride = np.repeat(STRIDES, [len(grid) for grid in grids])[:, None]
    centres = (output[:, :2] + np.concatenate(grids)) * stride
    boxes = np.concatenate([centres, np.exp(output[:, 2:4]) * stride], axis=1)
    return boxes, output[:, 4:5] * output[:, 5:]


# How the pictures came into the input: 0 for the top left (YOLOX), 0.5 for the middle (YOLOv8).
DECODE, ANCHOR = yolox, 0


def metric(runner):
    """The mean, over all classes with objects, of the average precision."""
    objects, scores, hits = defaultdict(int), defaultdict(list), defaultdict(list)
    for outputs, sample in runner:
        (output,), (picture,) = outputs.values(), sample.inputs.values()
        boxes, of_classes = DECODE(output[0].astype(float), picture.shape[2:])
        boxes = corners(boxes)
        classes, truth = labelled(Path(sample.name), picture.shape[2:])
        for number, of_class in enumerate(of_classes.T):
            kept = suppressed(boxes, of_class)
            right = truth[classes == number]
            objects[number] += len(right)
            scores[number].extend(of_class[kept])
            hits[number].extend(matched(boxes[kept], right))
    return np.mean([average_precision(scores[c], hits[c], n) for c, n in objects.items() if n])


def labelled(file, size):
    """Classes and boxes of the objects in a picture, in pixels of the model's input."""
    rows = np.array(Path("labels", f"{file.stem}.txt").read_text().split(), float).reshape(-1, 5)
    sides = np.array(Image.open(file).size)
    sides = sides * min(np.array(size[::-1]) / sides)
    margin = (np.array(size[::-1]) - sides) * ANCHOR
    centres = rows[:, 1:3] * sides + margin
    return rows[:, 0], corners(np.concatenate([centres, rows[:, 3:] * sides], axis=1))


def corners(boxes):
    """Left, top, right and bottom of boxes with centre, width and height."""
    centres, half = boxes[:, :2], boxes[:, 2:] / 2
    return np.concatenate([centres - half, centres + half], axis=1)


def overlaps(boxes, others):
    """Intersection over union of all pairs."""
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=-1)
    areas = [np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (boxes, others)]
    return shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-9)


def suppressed(boxes, scores):
    """Candidates in descending order of their scores, one for each object."""
    order, kept = np.argsort(-scores, kind="stable"), []
    order = order[scores[order] > LEAST_SCORE]
    while order.size:
        kept.append(order[0])
        order = order[1:][overlaps(boxes[order[:1]], boxes[order[1:]])[0] <= SAME_OBJECT]
    return np.array(kept, int)


def matched(boxes, truth):
    """Which boxes, the best first, are right: each object counts for one of them."""
    hits, free = [], np.ones(len(truth), bool)
    for row in overlaps(boxes, truth):
        row *= free
        hits.append(row.max(initial=0) >= RIGHT)
        if hits[-1]:
            free[row.argmax()] = False
    return hits


def average_precision(scores, hits, objects):
    """The area under the precision, made to fall, over the recall."""
    hits = np.array(hits, float)[np.argsort(-np.array(scores), kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return (np.maximum.accumulate(precision[::-1])[::-1] * hits).sum() / objects
