"""The primitives against torch's fake_quantize functions and onnxruntime's Q/DQ, bit for bit."""

import numpy as np
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper

from onnxq.quantization import dequantize, fake_tensor_quant, quantize, scale_of, tensor_quant

SCALES = [1.0, 0.1, 3 / 127, 2.0**-20, 1e-30, 1e30, 1.2e-38, 2.6e36]
AMAXES = [1.0, 4.502222, 0.037, 6.0, 1e-6, 3e30, 3.4028235e38]


@np.errstate(over="ignore")
def values(scale):
    """Ordinary, tie, extreme, denormal and not finite values, and every kind of bit pattern."""
    rng = np.random.default_rng(7)
    halves = (np.arange(-400, 401) / 2).astype(np.float32) * np.float32(scale)
    patterns = rng.integers(0, 2**32, 50_000, dtype=np.uint32).view(np.float32)
    special = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3e38, -3e38], np.float32)
    ordinary = rng.standard_normal(50_000).astype(np.float32) * np.float32(50) * np.float32(scale)
    near = np.concatenate([np.nextafter(halves, np.float32(np.inf)), np.nextafter(halves, 0)])
    return np.concatenate([halves, near, patterns, special, ordinary]).astype(np.float32)


def assert_same_bits(a, b):
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a.view(np.uint8), b.view(np.uint8))


def onnxruntime_qdq(x, scale, axis=None):
    attributes = {} if axis is None else {"axis": axis}
    zero_point = np.zeros(scale.shape, np.int8)
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **attributes),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], **attributes),
        ],
        "qdq",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, scale.shape),
            helper.make_tensor_value_info("z", TensorProto.INT8, scale.shape),
        ],
        [
            helper.make_tensor_value_info("q", TensorProto.INT8, None),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": x, "s": scale, "z": zero_point})


@pytest.mark.parametrize("scale", SCALES)
def test_equals_onnxruntime_per_tensor(scale):
    x, scale = values(scale), np.array(scale, np.float32)
    expected_q, expected_y = onnxruntime_qdq(x, scale)
    q = quantize(x, scale)
    assert_same_bits(q, expected_q)
    assert_same_bits(dequantize(q, scale), expected_y)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_equals_onnxruntime_per_channel(axis):
    x = np.moveaxis(np.stack([values(s)[:100_000].reshape(2, -1) for s in SCALES]), 0, axis)
    scale = np.array(SCALES, np.float32)
    expected_q, expected_y = onnxruntime_qdq(np.ascontiguousarray(x), scale, axis)
    q = quantize(x, scale, axis=axis)
    assert_same_bits(np.ascontiguousarray(q), expected_q)
    assert_same_bits(np.ascontiguousarray(dequantize(q, scale, axis=axis)), expected_y)


@pytest.mark.parametrize("narrow_range", [False, True])
@pytest.mark.parametrize("amax", AMAXES)
def test_equals_torch_per_tensor(amax, narrow_range):
    scale = scale_of(amax)
    x = values(scale)
    lowest = -127 if narrow_range else -128
    expected = torch.fake_quantize_per_tensor_affine(
        torch.from_numpy(x), float(scale), 0, lowest, 127
    )
    ours = fake_tensor_quant(x, amax, narrow_range=narrow_range, by_reciprocal=True)
    assert_same_bits(ours, expected.numpy())


@pytest.mark.parametrize("narrow_range", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
def test_equals_torch_per_channel(axis, narrow_range):
    scale = scale_of(AMAXES)
    x = np.stack([values(s) for s in scale])
    # torch 2.13 converts x / scale to int64 before it saturates: above 2**63 it gives -128.
    with np.errstate(over="ignore", invalid="ignore"):
        x = np.where(np.abs(x * (1 / scale[:, None])) < 2.0**63, x, np.float32(0))
    x = np.ascontiguousarray(np.moveaxis(x, 0, axis))
    lowest = -127 if narrow_range else -128
    expected = torch.fake_quantize_per_channel_affine(
        torch.from_numpy(x),
        torch.from_numpy(scale),
        torch.zeros(len(scale), dtype=torch.int32),
        axis,
        lowest,
        127,
    )
    ours = fake_tensor_quant(x, AMAXES, axis=axis, narrow_range=narrow_range, by_reciprocal=True)
    assert_same_bits(ours, expected.numpy())


def test_division_and_reciprocal_differ_next_to_a_tie():
    # The one difference between ONNX and torch: found among halves of a scale of 3 / 127.
    scale = np.float32(3 / 127)
    x = (np.arange(-300, 300) / 2).astype(np.float32) * scale
    by_division = quantize(x, scale).astype(int)
    by_reciprocal = quantize(x, scale, by_reciprocal=True).astype(int)
    assert np.abs(by_division - by_reciprocal).max() == 1


def test_rounds_half_to_even_and_saturates():
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 127.5, -127.5, -128.5, -200, 200], np.float32)
    expected = [0, 2, 2, 0, -2, 126, 127, -128, -128, -128, 127]
    assert quantize(x, 1.0).tolist() == expected
    assert quantize(x, 1.0, narrow_range=True).tolist() == [max(-127, e) for e in expected]


def test_scale_is_amax_over_127_in_float32():
    assert scale_of(127.0) == 1
    assert scale_of([6.0, 0.0]).tolist() == [np.float32(6) / np.float32(127), 1.0]
    assert scale_of(6.0).dtype == np.float32
    assert scale_of(6.0).shape == ()


@pytest.mark.parametrize("amax", [0.0, 2.0**-24])
def test_a_zero_amax_gives_zeros_and_scale_one(amax):
    x = np.array([[5.0, -3.0], [5.0, -3.0]], np.float32)
    q, scale = tensor_quant(x, amax)
    assert (q.tolist(), float(scale)) == ([[0, 0], [0, 0]], 1.0)
    q, scale = tensor_quant(x, [amax, 5.0], axis=0)
    assert q.tolist() == [[0, 0], [127, -76]]
    assert scale.tolist() == [1.0, np.float32(5) / np.float32(127)]
    assert fake_tensor_quant(x, amax).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_the_smallest_usable_amax_is_used():
    amax = np.nextafter(np.float32(2.0**-24), np.float32(1))
    q, scale = tensor_quant(np.array([amax]), amax)
    assert q.tolist() == [127]
    assert scale == amax / np.float32(127)


@pytest.mark.parametrize("amax", [-1.0, np.nan, np.inf])
def test_a_bad_amax_is_refused(amax):
    with pytest.raises(ValueError, match="finite and not negative"):
        tensor_quant(np.ones(2, np.float32), amax)


@pytest.mark.parametrize(
    ("amax", "axis", "message"),
    [
        ([1.0, 2.0], None, "needs an axis"),
        ([1.0, 2.0, 3.0], 0, "does not fit axis 0"),
        ([[1.0, 2.0]], 0, "does not fit axis 0"),
        ([1.0, 2.0], 2, "out of range"),
        ([1.0, 2.0], -3, "out of range"),
    ],
)
def test_an_amax_of_the_wrong_shape_is_refused(amax, axis, message):
    with pytest.raises(ValueError, match=message):
        fake_tensor_quant(np.ones((2, 2), np.float32), amax, axis=axis)
