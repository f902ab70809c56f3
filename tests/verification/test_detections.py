"""What a detector finds, by built-in decoders and by Python files, in both models."""

import numpy as np
import pytest

from onnxq import verify
from onnxq.diagnostics import OnnxqError
from onnxq.verification.detections import load_decoder
from onnxq.verification.detections.agreement import matched
from onnxq.verification.detections.boxes import overlaps, suppressed
from onnxq.verification.detections.decoding import SampleDetections

from .models import Builder, saved

# centre, width and height; corners; score; class
OBJECTS = [
    ((50, 60, 20, 40), (40, 40, 60, 80), 0.9, 2),
    ((200, 100, 60, 30), (170, 85, 230, 115), 0.6, 0),
]
PICTURE = {"images": np.zeros((1, 3, 64, 96), np.float32)}


def check(found):
    assert np.allclose(found.boxes, [corners for _, corners, _, _ in OBJECTS], atol=1e-4)
    assert np.allclose(found.scores, [score for _, _, score, _ in OBJECTS])
    assert found.classes.tolist() == [2, 0]


def candidates(objectness, classes=3, extra=0):
    """Rows of boxes and scores: the objects, each with a weaker copy beside it, and weak others."""
    rows = np.zeros((12, 4 + objectness + classes + extra), np.float32)
    rows[:, :4] = 9
    for index, (box, _, score, class_) in enumerate(OBJECTS):
        for copy, factor in ((index, 1), (index + 4, 0.9)):
            rows[copy, :4] = np.array(box) + (copy - index) / 4
            rows[copy, 4 + objectness + class_] = score * factor if not objectness else 0.96
            if objectness:
                rows[copy, 4] = score * factor / 0.96
    if extra:
        rows[:, -extra:] = 5
    return rows


@pytest.mark.parametrize(
    "outputs",
    [
        {"output0": candidates(0).T[None]},
        {
            "output0": np.pad(candidates(0, extra=32), ((0, 50), (0, 0))).T[None],
            "output1": np.zeros((1, 32, 8, 8), np.float32),
        },
        {"output": candidates(1)[None]},
        {"output": candidates(1)[None], "lanes": np.zeros((1, 2, 8, 8), np.float32)},
    ],
    ids=["v8", "v8 with masks", "v5", "v5 with a map"],
)
def test_yolo(outputs):
    (found,) = load_decoder("yolo")(outputs, PICTURE)
    check(found)


def test_yolo_with_the_number_of_classes_of_the_model():
    outputs = {"output0": candidates(0, extra=3).T[None]}
    check(load_decoder("yolo", classes=3)(outputs, PICTURE)[0])


def test_yolo_without_duplicates():
    rows = np.zeros((1, 300, 6), np.float32)
    for index, (_, corners, score, class_) in enumerate(OBJECTS):
        rows[0, index] = (*corners, score, class_)
    check(load_decoder("yolo")({"output0": rows}, PICTURE)[0])


def test_each_sample_of_a_batch():
    rows = np.concatenate([candidates(0).T[None], np.zeros((1, 7, 12))]).astype(np.float32)
    first, second = load_decoder("yolo")({"output0": rows}, PICTURE)
    check(first)
    assert len(second.scores) == 0


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_yolox_decodes_cells(layout):
    """64 x 96 has 96 cells of 8, 24 of 16 and 6 of 32 pixels."""
    rows = np.zeros((1, 126, 8), np.float32)
    places = [(96 + 3 * 6 + 3, 16, 3, 3), (2 * 12 + 11, 8, 11, 2)]
    for (box, _, score, class_), (cell, stride, column, row) in zip(OBJECTS, places, strict=True):
        x, y, width, height = box
        rows[0, cell, :4] = (
            x / stride - column,
            y / stride - row,
            *np.log([width / stride, height / stride]),
        )
        rows[0, cell, 4] = score
        rows[0, cell, 5 + class_] = 1
    shape = (1, 3, 64, 96) if layout == "NCHW" else (1, 64, 96, 3)
    check(load_decoder("yolox")({"output": rows}, {"images": np.zeros(shape)})[0])


def tables(form):
    boxes, table = np.zeros((1, 10, 4), np.float32), np.zeros((1, 10, 4), np.float32)
    table[..., 0] = 1
    for index, (_, corners, score, class_) in enumerate(OBJECTS):
        boxes[0, index] = corners
        table[0, index, 0], table[0, index, 1 + class_] = 1 - score, score
    scores, labels = table[..., 1:].max(-1), table[..., 1:].argmax(-1)
    return {
        "softmax": {"scores": table, "boxes": boxes},
        "sigmoid": {"boxes": boxes, "scores": table[..., 1:]},
        "classes first": {"boxes": boxes, "scores": table[..., 1:].transpose(0, 2, 1)},
        "labels": {"boxes": boxes, "labels": labels, "scores": scores},
        "no batch": {"boxes": boxes[0], "labels": labels[0], "scores": scores[0]},
    }[form]


@pytest.mark.parametrize("form", ["softmax", "sigmoid", "classes first", "labels", "no batch"])
def test_ssd(form):
    (found,) = load_decoder("ssd")(tables(form), PICTURE)
    check(found)


@pytest.mark.parametrize(
    ("name", "outputs", "message"),
    [
        ("yolo", {"logits": np.zeros((1, 10), np.float32)}, "'logits' [1, 10]"),
        (
            "yolo",
            {n: np.zeros((1, 99, c), np.float32) for n, c in (("boxes", 4), ("scores", 8))},
            "(ssd takes two)",
        ),
        ("yolox", {"output": np.zeros((1, 99, 8), np.float32)}, "'output' [1, 99, 8]"),
        ("yolox", {"output": np.zeros((1, 5), np.float32)}, "'output' [1, 5]"),
        ("ssd", {"boxes": np.zeros((1, 9, 4), np.float32)}, "'boxes' [1, 9, 4]"),
        ("ssd", {"y": np.zeros((1, 9, 7), np.float32)}, "'y' [1, 9, 7]"),
    ],
)
def test_outputs_that_a_decoder_does_not_know(name, outputs, message):
    with pytest.raises(OnnxqError, match="OQ683") as caught:
        load_decoder(name)(outputs, PICTURE)
    assert message in str(caught.value)


def test_outputs_that_a_decoder_would_misread():
    """Fewer candidates than channels, as of a small picture, look like rows of another YOLO."""
    rng = np.random.default_rng(0)
    outputs = {"output0": rng.uniform(0, 1, (1, 84, 80)).astype(np.float32)}
    outputs["output0"][:, :4] *= 64
    with pytest.raises(OnnxqError, match="OQ683") as caught:
        load_decoder("yolo")(outputs, PICTURE)
    assert "needs scores from 0 to 1" in str(caught.value)


def test_a_file_that_returns_centres_instead_of_corners(tmp_path):
    (tmp_path / "centres.py").write_text(
        "def detections(outputs, inputs):\n"
        "    return [(rows[:, :4], rows[:, 4], rows[:, 5]) for rows in outputs['y']]\n"
    )
    rows = np.array([[[40, 30, 10, 12, 0.9, 1], [5, 6, 9, 9, 0.8, 0]]], np.float32)
    with pytest.raises(OnnxqError, match="OQ682") as caught:
        load_decoder(tmp_path / "centres.py")({"y": rows}, PICTURE)
    assert "x1, y1, x2, y2" in str(caught.value)
    rows[..., 2:4] += rows[..., :2]
    (decoded,) = load_decoder(tmp_path / "centres.py")({"y": rows}, PICTURE)
    assert len(decoded.scores) == 2


def test_overlap_and_suppression():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [5, 5, 15, 15], [20, 20, 20, 30]])
    table = overlaps(boxes, boxes)
    assert table[0, 1] == pytest.approx(0.8)
    assert table[0, 2] == pytest.approx(25 / 175)
    assert table[3].tolist() == [0, 0, 0, 0]  # no area
    scores, one_class = np.array([0.5, 0.9, 0.3, 0.2]), np.zeros(4)
    assert suppressed(boxes, scores, one_class).tolist() == [1, 2, 3]
    assert suppressed(boxes, scores, np.arange(4)).tolist() == [1, 0, 2, 3]


def test_a_detection_is_matched_once_and_in_its_class():
    first = SampleDetections(
        np.array([[0, 0, 10, 10], [1, 1, 11, 11]]), np.array([0.5, 0.9]), np.array([1, 1])
    )
    second = SampleDetections(
        np.array([[0, 0, 10, 10]] * 2), np.array([0.4, 0.8]), np.array([1, 2])
    )
    ((one, other, overlap),) = matched(first, second)
    assert (one, other) == (1, 0)
    assert overlap == pytest.approx(81 / 119)


DECODER = """
import numpy as np
def detections(outputs, inputs):
    assert set(inputs) == {"x"}
    rows = outputs["y_out"]
    return [(r[:, :4], r[:, 4], np.zeros(len(r))) for r in rows]
"""


def detector(shift=0.0, lower=0.0):
    """The rows of x [1, 3, 5] as boxes and scores, with boxes shifted and scores lowered."""
    build = Builder()
    offset = np.array([shift, 0, shift, 0, -lower], np.float32)
    build.op("Add", "x", build.constant(offset), name="y")
    return build.model("y_out", shape=(1, 3, 5))


def pictures():
    row = np.array([[0, 0, 10, 10, 0.9], [30, 30, 40, 40, 0.5], [60, 60, 70, 70, 0.3]], np.float32)
    return [row[None], (row + np.float32([0, 0, 0, 0, 0.05]))[None]]


def report(qdq, **options):
    return verify(detector(), qdq, data=pictures(), backend="onnxruntime", **options)


def test_kept_and_new_of_a_python_file(tmp_path):
    file = tmp_path / "decoder.py"
    file.write_text(DECODER)
    found = report(detector(2, 0.15), detections=file, detection_score=0.3)
    detections = found.models[0].numeric.detections
    assert (detections.float_count, detections.count) == (6, 4)
    assert (detections.kept, detections.new) == (pytest.approx(4 / 6), 0)
    assert detections.mean_iou == pytest.approx(8 / 12)
    assert detections.score_change == pytest.approx(-0.15)
    assert detections.worst_sample == "data[0]"
    assert "kept 66.7%, new 0.0%" in str(found)
    assert found.to_dict()["models"][0]["numeric"]["detections"]["kept"] == detections.kept


def misses(qdq, **limits):
    def decode(outputs, inputs):
        return [(r[:, :4], r[:, 4], np.zeros(len(r))) for r in outputs["y_out"]]

    options = {"detections": decode, "detection_score": 0.3, **limits}
    return [d.message for d in report(qdq, **options).diagnostics if d.code == "OQ604"]


def test_limits_of_kept_and_new():
    assert misses(detector(0, 0.15), min_kept=0.6, max_new=0) == []
    (missed,) = misses(detector(0, 0.15), min_kept=0.7, max_new=0)
    assert missed.startswith("the share of kept detections is 0.6667, below the threshold of 0.7; ")
    lost, new = misses(detector(40), min_kept=0.5, max_new=0.5)
    assert lost.startswith("the share of kept detections is 0, below")
    assert new.startswith("the share of new detections is 1, above the threshold of 0.5; worst")
    (nothing,) = misses(detector(), min_kept=0.5, detection_score=1.0)
    assert nothing.endswith("is not known: the float model detects nothing")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def detect(o, i): ...", "has no function 'detections'; did you mean 'detect'?"),
        (
            "raise ValueError('no')",
            "decoder.py:1:1: error[OQ682]: the decoder raised ValueError: no",
        ),
        (
            "def detections(o, i):\n    return o['z']",
            "decoder.py:2:12: error[OQ682]: the decoder raised",
        ),
        ("def detections(o, i):\n    return 3", "returned a int"),
        (
            "def detections(o, i):\n    return [(o['y_out'], o['y_out'], 1)]",
            "returned arrays of shapes [1, 3, 5], [1, 3, 5], []",
        ),
    ],
)
def test_files_that_are_no_decoder(tmp_path, text, message):
    file = tmp_path / "decoder.py"
    file.write_text(text)
    with pytest.raises(OnnxqError) as caught:
        report(detector(), detections=file)
    assert caught.value.diagnostics[0].code == "OQ682"
    assert message in str(caught.value)


def test_options_without_what_they_need(tmp_path):
    path = saved(detector(), tmp_path)
    for options, message in (
        ({"detections": "yolov8"}, "there is no decoder 'yolov8'; did you mean 'yolo'?"),
        ({"detections": "nothing.py"}, "there is no file 'nothing.py'"),
        ({"detections": "yolo", "detection_score": 25}, "--detection-score 25 is not a score"),
        ({"min_kept": 0.9}, "--min-kept has no effect without --detections"),
        ({"detection_score": 0.9}, "--detection-score has no effect without --detections"),
    ):
        with pytest.raises(OnnxqError) as caught:
            verify(path, path, data=pictures(), **options)
        assert caught.value.diagnostics[0].code == "OQ682"
        assert message in str(caught.value)
    with pytest.raises(OnnxqError, match="--detections has no effect without --data"):
        verify(path, path, detections="yolo")
    with pytest.raises(OnnxqError, match="--max-new 5 is not a share"):
        verify(path, path, data=pictures(), detections="yolo", max_new=5)
