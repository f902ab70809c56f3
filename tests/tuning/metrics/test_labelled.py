"""Top-1 by a file of labels, with what every metric has."""

import numpy as np
import pytest

from onnxq.feeds.samples import Sample
from onnxq.tuning.metrics.labelled import top1
from onnxq.tuning.metrics.scoring import Scorer
from tests.onnx_text import model

from .files import problem

CLASSIFIER = model("small (float[1, 3] x) => (float[1, 3] y) { y = Identity (x) }")
ROWS = np.eye(3, dtype=np.float32)[:, None]
SAMPLES = [Sample(name=f"a/{i}.png", tensors={"x": row}, digest="") for i, row in enumerate(ROWS)]


def test_the_share_of_samples_that_are_right(folder):
    (folder / "l.csv").write_text("0.png,0\n1.png,1\n2.png,0\n")
    metric: Scorer = top1("l.csv")
    assert metric.name == "top-1 of l.csv"
    assert metric.score(CLASSIFIER, SAMPLES) == pytest.approx(2 / 3)
    assert metric.score(CLASSIFIER, SAMPLES[2:]) == 0


def test_the_digest_is_that_of_the_labels(folder):
    digests = []
    for text in ("0.png,0\n", "0.png,0\n", "0.png,1\n"):
        (folder / "l.csv").write_text(text)
        digests.append(top1("l.csv").digest)
    assert digests[0] == digests[1] != digests[2]


def test_labels_that_do_not_fit(folder):
    (folder / "l.csv").write_text("9.png,0\n")
    assert problem(top1("l.csv").score, CLASSIFIER, SAMPLES).code == "OQ651"
    (folder / "l.csv").write_text("0.png,7\n")
    assert problem(top1("l.csv").score, CLASSIFIER, SAMPLES).code == "OQ652"
    assert problem(top1, "missing.csv").code == "OQ651"


def test_labels_that_fit_no_sample(folder):
    """Indices that begin with 1."""
    (folder / "l.csv").write_text("0.png,1\n1.png,2\n2.png,0\n")
    (doubt,) = top1("l.csv").doubts(CLASSIFIER, SAMPLES * 3)
    assert doubt.code == "OQ655"
    assert "right on 0 of 9 samples" in doubt.message
    (folder / "l.csv").write_text("0.png,0\n1.png,1\n2.png,0\n")
    assert not top1("l.csv").doubts(CLASSIFIER, SAMPLES * 3)
