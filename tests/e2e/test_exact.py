"""Exactness to the bit: calibrations add up, and the pairs compute what the library computes."""

import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper, parser

from onnxq.calibration.statistics import Statistics
from onnxq.quantization import fake_tensor_quant, scale_of
from tests.cli.forked import onnxq
from tests.command import succeeded

from .conftest import EVALUATION, copied


@pytest.fixture(scope="module")
def in_two_halves(tmp_path_factory, mobilenet, photographs):
    """Calibrations of the first pictures, of the others, and of all of them."""
    folder = tmp_path_factory.mktemp("halves")
    shutil.copyfile(mobilenet, folder / "model.onnx")
    parts = {"first": EVALUATION[:2], "second": EVALUATION[2:], "whole": EVALUATION}
    for name, pictures in parts.items():
        copied(photographs, pictures, folder / name)
        command = ("calibrate", "model.onnx", "--data", name, "-o", f"{name}.npz")
        succeeded(onnxq(*command, "--preprocess", "imagenet", cwd=folder))
    return folder


@pytest.mark.parametrize("order", [("first", "second"), ("second", "first")])
def test_two_halves_make_the_whole_file(in_two_halves, order):
    one, other = (Statistics.load(in_two_halves / f"{name}.npz") for name in order)
    (one + other).save(in_two_halves / "sum.npz")  # a file names its model by a relative path
    whole = (in_two_halves / "whole.npz").read_bytes()
    assert (in_two_halves / "sum.npz").read_bytes() == whole


def test_the_halves_differ(in_two_halves):
    first, second = (in_two_halves / name for name in ("first.npz", "second.npz"))
    assert first.read_bytes() != second.read_bytes()


ONE_CONV = """
<ir_version: 8, opset_import: ["" : 17]>
one_conv (float[1,3,9,9] x) => (float[1,6,9,9] y) <float[6,3,3,3] w, float[6] b> {
    y = Conv <pads = [1,1,1,1]> (x, w, b)
}
"""
RECIPE = """
schema: 1
descriptors:
  act: {calibrator: max}
  weight: {granularity: per_channel, calibrator: max, narrow_range: %s}
rules:
  - id: conv
    why: test
    match: {op: Conv}
    quantize: {inputs: act, weights: weight}
"""


def one_conv(rng):
    model = parser.parse_model(ONE_CONV)
    for name, shape in (("w", (6, 3, 3, 3)), ("b", (6,))):
        values = rng.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    return model


def without_optimizations(model, feeds, *outputs):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(list(outputs), feeds)


@pytest.mark.parametrize("narrow", ["false", "true"])
def test_pairs_compute_what_fake_tensor_quant_does(tmp_path, narrow):
    rng = np.random.default_rng(3)
    model = one_conv(rng)
    x = rng.normal(size=(1, 3, 9, 9)).astype(np.float32)
    onnx.save(model, tmp_path / "model.onnx")
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "rules.yaml").write_text(RECIPE % narrow)
    succeeded(onnxq("calibrate", "model.onnx", "--data", "x.npy", cwd=tmp_path))
    succeeded(onnxq("insert", "--rules", "rules.yaml", cwd=tmp_path))
    qdq = onnx.load(tmp_path / "model.qdq.onnx")
    inner = ["x_dequantized", "w_dequantized"]
    qdq.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)

    larger = (3 * x).astype(np.float32)  # leaves the calibrated range, so that clipping is seen
    y, activation, weight = without_optimizations(qdq, {"x": larger}, "y", *inner)

    w = numpy_helper.to_array(model.graph.initializer[0])
    expected_x = fake_tensor_quant(larger, np.abs(x).max())
    amax = np.abs(w).max(axis=(1, 2, 3))
    expected_w = fake_tensor_quant(w, amax, axis=0, narrow_range=narrow == "true")
    np.testing.assert_array_equal(activation, expected_x)
    np.testing.assert_array_equal(weight, expected_w)
    replaced = onnx.ModelProto()
    replaced.CopyFrom(model)
    replaced.graph.initializer[0].CopyFrom(numpy_helper.from_array(expected_w, "w"))
    (expected_y,) = without_optimizations(replaced, {"x": expected_x}, "y")
    np.testing.assert_array_equal(y, expected_y)
    scales = {t.name: numpy_helper.to_array(t) for t in qdq.graph.initializer}
    np.testing.assert_array_equal(scales["w_scale"], scale_of(amax))
    assert scales["x_scale"].shape == ()
