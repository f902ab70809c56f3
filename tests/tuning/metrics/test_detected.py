"""How far a detector agrees with its float model, as a goal of tune."""

import numpy as np
import pytest

from onnxq.feeds.samples import Sample
from onnxq.tuning.metrics.detected import agreement
from onnxq.tuning.metrics.scoring import Scorer
from tests.onnx_text import model

from .files import problem

# A row is a detection: x1, y1, x2, y2, score, class.
FLOAT = model("rows (float[1, 4, 6] x) => (float[1, 4, 6] y) { y = Identity (x) }")
FEWER = """
rows (float[1, 4, 6] x) => (float[1, 4, 6] y) <float[1, 1, 6] by = {1, 1, 1, 1, 0.5, 1}> {
    y = Mul (x, by) }
"""
MORE = FEWER.replace("0.5", "4")
BOXES = np.array([[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9], [60, 0, 69, 9]])


def decode(outputs, inputs):
    return [(rows[:, :4], rows[:, 4], rows[:, 5]) for rows in outputs["y"]]


def sample(*scores):
    rows = np.column_stack([BOXES, scores, np.zeros(4)]).astype(np.float32)
    return Sample(name="a", tensors={"x": rows[None]}, digest="")


SAMPLES = [sample(0.9, 0.8, 0.1, 0.1), sample(0.9, 0.3, 0.1, 0.0)]


def test_the_float_model_agrees_with_itself():
    metric: Scorer = agreement(decode, 0.25, FLOAT)
    assert metric.name == "detections by decode"
    assert metric.score(FLOAT, SAMPLES) == 1
    assert agreement(decode, 0.25, FLOAT).float_count(SAMPLES) == 4


def test_what_is_lost_and_what_is_new():
    metric = agreement(decode, 0.25, FLOAT)
    assert metric.score(model(FEWER), SAMPLES) == pytest.approx(3 / 4)
    assert metric.score(model(MORE), SAMPLES) == pytest.approx(1 - 3 / 4)


def test_the_digest_is_that_of_decoder_and_score(folder):
    (folder / "d.py").write_text("def detections(outputs, inputs): return []")
    digests = [agreement(*of, FLOAT).digest for of in (("yolo", 0.2), ("yolo", 0.3), ("d.py", 0.2))]
    (folder / "d.py").write_text("def detections(outputs, inputs): return [] * 1")
    assert len({*digests, agreement("d.py", 0.2, FLOAT).digest}) == 4


def test_nothing_to_agree_on():
    metric = agreement(decode, 0.95, FLOAT)
    nothing = problem(metric.score, FLOAT, SAMPLES)
    assert (nothing.code, nothing.message) == (
        "OQ486",
        "the float model detects nothing in 2 samples",
    )
    assert problem(agreement, "yolo9", None, FLOAT).code == "OQ682"
