"""What enters trained models: no word on the right scale, a warning on one 255 times off."""

import numpy as np
import pytest
from PIL import Image

from onnxq.calibration.expectations import doubts, entries
from onnxq.calibration.histogram import BitHistogram
from onnxq.calibration.statistics import Statistics, TensorStatistics
from onnxq.model.loading import load

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
