"""The law of stripping on trained models: what insert adds strip takes away, to the bit."""

import numpy as np
import onnx
import pytest

from onnxq.insertion.insert import insert
from onnxq.insertion.scales import compute_scales
from onnxq.model.graph import Graph
from onnxq.model.preparing import prepare
from onnxq.model.strip import strip
from onnxq.planning.cascade import plan
from onnxq.planning.recipe import load
from tests.conftest import packaged
from tests.inserting import computed, ranged
from tests.laws.test_stripping import rounded

OCR = "rapidocr_onnxruntime", "models"
MODELS = {  # package, file, recipe, the shape to run it with
    "YOLOX": ("ddddocr", "common_det.onnx", "yolo", (1, 3, 416, 416)),
    "PP-OCRv4 detector": (OCR[0], f"{OCR[1]}/ch_PP-OCRv4_det_infer.onnx", "resnet", (1, 3, 96, 96)),
    "PP-OCRv4 recognizer": (
        OCR[0], f"{OCR[1]}/ch_PP-OCRv4_rec_infer.onnx", "transformer", (1, 3, 48, 96),
    ),
    "direction classifier, with BatchNormalization": (
        OCR[0], f"{OCR[1]}/ch_ppocr_mobile_v2.0_cls_infer.onnx", "resnet", (1, 3, 48, 192),
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def real(request):
    """The original, it as every stage sees it, its plan and scales, and an input."""
    package, file, recipe, shape = MODELS[request.param]
    original = onnx.load(packaged(package, file))
    seen = prepare(onnx.ModelProto.FromString(original.SerializeToString()))
    name = seen.graph.input[0].name
    graph = Graph(seen, digest="d", shapes={name: shape})
    made = plan(graph, load(recipe))
    assert len(made.pairs) > 60
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return original, seen, made, compute_scales(graph, made, ranged(made)), {name: x}


def same_bits(one, other, inputs):
    for a, b in zip(computed(one, **inputs), computed(other, **inputs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_that_were_kept(real):
    original, seen, made, scales, inputs = real
    back = strip(insert(seen, made, scales, weights="qdq"))
    assert not back.diagnostics
    assert back.model == seen
    same_bits(back.model, original, inputs)


def test_weights_that_were_stored_in_int8(real):
    _, seen, made, scales, inputs = real
    back = strip(insert(seen, made, scales))
    assert not back.diagnostics
    same_bits(back.model, rounded(seen, made, scales), inputs)
