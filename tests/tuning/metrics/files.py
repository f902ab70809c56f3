"""Metric files of one function, on a model whose output is its input, four samples of it."""

from textwrap import dedent

import numpy as np
import pytest

from onnxq.diagnostics import OnnxqError
from onnxq.feeds.samples import Sample
from onnxq.tuning.metrics.metric import load_metric
from tests.onnx_text import model

MODEL = model("small (float[1, 3] x) => (float[1, 3] y) { y = Identity (x) }")
SAMPLES = [
    Sample(
        name=f"{number}.png",
        tensors={"x": np.full((1, 3), number, np.float32)},
        digest="",
        number=number,
    )
    for number in range(4)
]


def written(folder, text, name="score.py"):
    """The file of a metric, relative to the folder, which is the working one."""
    (folder / name).write_text(dedent(text))
    return name


def score(metric, timeout_s=60.0, samples=SAMPLES):
    """The score of the small model."""
    with load_metric(metric, timeout_s) as loaded:
        return loaded.score(MODEL, samples)


def problem(call, *arguments, **options):
    """The one diagnostic of the error that a call raises."""
    with pytest.raises(OnnxqError) as raised:
        call(*arguments, **options)
    (diagnostic,) = raised.value.diagnostics
    return diagnostic
