"""Text lines of the PP-OCR detector: components of its map, grown as rapidocr grows them.

DB (Liao et al., 2020) predicts the shrunk kernel of each line; a box is grown by area * ratio /
perimeter. Boxes here are upright: rotated ones would need OpenCV.
"""

import numpy as np

LIMIT = 0.3  # rapidocr's own limits
SCORE = 0.5
GROWTH = 1.6
SMALLEST = 3  # pixels


def detections(outputs, inputs):
    """Return (boxes [n, 4] xyxy, scores [n], classes [n]) for each sample."""
    (maps,) = outputs.values()
    return [_of_one(sample[0].astype(np.float64)) for sample in maps]


def _of_one(probability):
    boxes, scores = [], []
    for y, x in _components(probability > LIMIT):
        box = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1], float)
        width, height = box[2:] - box[:2]
        score = probability[y, x].mean()
        if min(width, height) >= SMALLEST and score > SCORE:
            growth = width * height * GROWTH / (2 * (width + height))
            boxes.append(box + growth * np.array([-1, -1, 1, 1]))
            scores.append(score)
    return np.reshape(boxes, (-1, 4)), np.array(scores), np.zeros(len(scores), int)


def _components(mask):
    """Return the pixels (y, x) of each 8-connected component, joined run by run."""
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    _, ends = np.nonzero(edges == -1)
    parent = list(range(len(rows)))

    def root(i):
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    first = np.searchsorted(rows, np.arange(mask.shape[0] + 1))
    for row in range(1, mask.shape[0]):
        for below in range(first[row], first[row + 1]):
            for above in range(first[row - 1], first[row]):
                if starts[above] <= ends[below] and starts[below] <= ends[above]:
                    parent[root(below)] = root(above)
    roots = np.array([root(i) for i in range(len(parent))], int)
    for component in np.unique(roots):
        runs = np.flatnonzero(roots == component)
        yield (
            np.concatenate([np.full(ends[r] - starts[r], rows[r]) for r in runs]),
            np.concatenate([np.arange(starts[r], ends[r]) for r in runs]),
        )
