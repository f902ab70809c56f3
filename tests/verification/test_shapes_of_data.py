"""Shapes of data beside profiles, inputs of unknown rank, and empty inputs: the whole way."""

import numpy as np
import pytest

import onnxq
from tests.onnx_text import model

CACHE = """g (int64[1,"S"] ids, float[1,"P",32] past) => (float y)
    <float[50,32] table, float[32,32] w> {
    e = Gather (table, ids) k = MatMul (e, w) c = Concat <axis = 1> (past, k)
    t = Transpose <perm = [0,2,1]> (c) s = MatMul (e, t) p = Softmax <axis = -1> (s)
    y = MatMul (p, c) }"""
PICTURES = """g (float["N",3,"H","W"] x) => (float y) <float[8,3,3,3] w> {
    y = Conv <pads = [1,1,1,1]> (x, w) }"""
RNG = np.random.default_rng(0)


def cached(tokens, past):
    ids = RNG.integers(0, 50, (1, tokens))
    return {"ids": ids, "past": RNG.normal(size=(1, past, 32)).astype(np.float32)}


def test_ragged_samples_and_a_profile():
    proto = model(CACHE)
    data = [cached(9, 0), cached(16, 4), cached(20, 8)]
    profiles = {
        "ids": onnxq.Profile((1, 1), (1, 16), (1, 64)),
        "past": onnxq.Profile((1, 0, 32), (1, 8, 32), (1, 64, 32)),
    }
    done = onnxq.quantize(proto, data, ragged=True, shapes=profiles)
    (report,) = done.report.models
    assert report.numeric.outputs[0].values == (9 + 16 + 20) * 32
    assert report.why_not_compiled is None
    report = onnxq.verify(proto, done.proto, data=data, ragged=True, shapes=profiles)
    assert report.models[0].why_not_compiled is None


def test_samples_of_one_shape_that_is_not_the_usual_one():
    proto = model(PICTURES)
    data = RNG.random((4, 3, 24, 24), np.float32)
    sizes = {"x": onnxq.Profile((1, 3, 16, 16), (2, 3, 32, 32), (4, 3, 64, 64))}
    done = onnxq.quantize(proto, data, shapes=sizes)
    assert done.statistics.tensors["x"].samples == 4
    assert done.report.models[0].why_not_compiled is None


def test_random_data_has_the_usual_shape_of_a_profile():
    notes = []
    sizes = {"x": onnxq.Profile((1, 3, 16, 16), (1, 3, 32, 32), (4, 3, 64, 64))}
    onnxq.quantize(
        model(PICTURES),
        "random",
        samples=2,
        shapes=sizes,
        backend="onnxruntime",
        progress=lambda step: notes.append(step.note),
    )
    assert "shape: x:1x3x32x32 (the usual one)" in notes


def test_an_exact_shape_binds_the_data():
    with pytest.raises(onnxq.OnnxqError, match="OQ404"):
        onnxq.quantize(model(PICTURES), RNG.random((4, 3, 24, 24)), shapes={"x": (1, 3, 32, 32)})


@pytest.mark.parametrize("body", ["y = MatMul (x, w)", "r = Relu (x) y = MatMul (r, w)"])
def test_an_input_of_unknown_rank_is_compared_and_compiled(body):
    proto = model(f"g (float[8] x) => (float y) <float[8,6] w> {{ {body} }}")
    for value in (proto.graph.input[0], proto.graph.output[0]):
        value.type.tensor_type.ClearField("shape")
    del proto.graph.value_info[:]
    done = onnxq.quantize(proto, {"x": RNG.normal(size=(2, 4, 8)).astype(np.float32)})
    (report,) = done.report.models
    assert report.numeric is not None
    assert report.why_not_compiled is None
    assert not done.proto.graph.input[0].type.tensor_type.HasField("shape")


def test_texts_beside_tensors():
    proto = model("""g (float[1,3,8,8] x, string[2] t) => (float y, string[2] u)
        <float[8,3,3,3] w> { y = Conv <pads = [1,1,1,1]> (x, w) u = Identity (t) }""")
    done = onnxq.quantize(proto, "random", backend="onnxruntime")
    (report,) = done.report.models
    assert report.why_not_numeric is None
    assert report.outputs["y"].sqnr_db > 30
    assert report.outputs["u"].problem.startswith("not a tensor of numbers")
