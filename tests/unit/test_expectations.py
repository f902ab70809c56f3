"""What enters trained models: no word on the right scale, a warning on one 255 times off."""

import numpy as np
import pytest
from onnx import numpy_helper
from PIL import Image

from onnxq.calibration.expectations import doubts, entries
from onnxq.calibration.histogram import BitHistogram
from onnxq.calibration.statistics import Statistics, TensorStatistics
from onnxq.model.loading import load
from tests.onnx_text import model

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
SCALES = {
    "pixels": lambda x: x,
    "fractions": lambda x: x / 255,
    "signed": lambda x: x / 127.5 - 1,
    "imagenet": lambda x: (x / 255 - MEAN) / STD,
}
# The scale that each was trained on, and those that are certainly wrong.
MODELS = {
    "yolox": ("pixels", {"fractions": "hardly", "signed": "hardly"}),
    "mobilenet": ("imagenet", {"pixels": "far smaller"}),
    "ppocr_detector": ("signed", {"pixels": "far smaller"}),
}


def told(graph, pixels, scale):
    (entry,) = entries(graph)
    values = BitHistogram.of(np.float32(SCALES[scale](pixels)))
    tensors = {entry.conv.inputs[0]: TensorStatistics(values=values, samples=len(pixels))}
    statistics = Statistics(
        model_digest="", calibrator="histogram", samples=len(pixels), tensors=tensors
    )
    return [str(d) for d in doubts(graph, statistics, {}, default=False, bgr=False)]


@pytest.mark.parametrize("name", MODELS)
def test_only_a_wrong_scale_is_told(name, request, photographs):
    graph = load(request.getfixturevalue(name)).graph
    right, wrong = MODELS[name]
    for names in (("astronaut", "coffee", "moon"), ("page",), ("text", "hubble_deep_field")):
        opened = (Image.open(photographs[n]).convert("RGB").resize((224, 224)) for n in names)
        pixels = np.stack([np.asarray(picture, np.float64) for picture in opened])
        assert told(graph, pixels, right) == []
        for scale, why in wrong.items():
            (warning,) = told(graph, pixels, scale)
            assert "OQ460" in warning
            assert why in warning


def test_dark_pictures_are_no_reason(yolox):
    graph = load(yolox).graph
    dark = np.random.default_rng(0).integers(0, 60, (1, 224, 224, 3)).astype(np.float64)
    assert told(graph, dark, "fractions") == []


def statistics_of(tensor, values):
    tensors = {tensor: TensorStatistics(values=BitHistogram.of(np.float32(values)), samples=8)}
    return Statistics(model_digest="", calibrator="histogram", samples=8, tensors=tensors)


def told_by(text, values, weights):
    made = model(text)
    for name, array in weights.items():
        made.graph.initializer.append(numpy_helper.from_array(np.float32(array), name))
    found = doubts(load(made).graph, statistics_of("x", values), {}, default=False, bgr=False)
    return [str(d) for d in found]


STEM = """
net (float[1,3,32,32] x) => (float[1,8,30,30] y) {
    [stem] c = Conv (x, w, b)
    y = HardSwish (c)
}
"""


@pytest.mark.parametrize(("offset", "deviation"), [(288, 10), (101325, 500), (1, 0.02)])
def test_right_data_with_an_offset_is_no_reason(offset, deviation):
    """A BatchNormalization that was folded takes the offset away by its biases."""
    rng = np.random.default_rng(0)
    values = offset + deviation * rng.normal(size=(8, 3, 32, 32))
    w = rng.normal(size=(8, 3, 3, 3)) / (deviation * 5)
    b = -w.sum(axis=(1, 2, 3)) * offset + 0.3 * rng.normal(size=8)
    assert told_by(STEM, values, {"w": w, "b": b}) == []


@pytest.mark.parametrize("bias", [0.03, 0.01, 0.002])
def test_small_biases_of_a_network_of_fractions_are_no_reason(bias):
    rng = np.random.default_rng(0)
    w = rng.uniform(-0.2, 0.2, size=(8, 3, 3, 3))
    b = bias * rng.normal(size=8)
    assert told_by(STEM, rng.random((8, 3, 32, 32)), {"w": w, "b": b}) == []
    (warning,) = told_by(STEM, 255 * rng.random((8, 3, 32, 32)), {"w": w, "b": b})
    assert "OQ460" in warning


def test_kernels_whose_weights_cancel_are_no_reason():
    rng = np.random.default_rng(0)
    w = rng.normal(size=(8, 3, 3, 3))
    w -= w.mean(axis=(1, 2, 3), keepdims=True)
    values = np.clip(120 + rng.normal(size=(8, 3, 32, 32)), 0, 255)
    assert told_by(STEM, values, {"w": w, "b": 0.01 * rng.normal(size=8)}) == []
