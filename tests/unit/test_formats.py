"""FP8 and INT4 against torch, ml_dtypes' own definition and onnxruntime's Q/DQ, bit for bit."""

import ml_dtypes
import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from onnxq.calibration.weight_methods import weight_amax
from onnxq.formats import FORMATS
from onnxq.quantization import dequantize, quantize, scale_of
from tests.inserting import computed
from tests.unit.test_quantization import SCALES, values

BLOCK = 32


def through_onnxruntime(x, scale, dtype, **attributes):
    """What a Q/DQ pair with constant scale and zero point makes of x."""
    zeros = np.zeros(scale.shape, FORMATS[dtype].dtype)
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **attributes),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], **attributes),
        ],
        "qdq",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape)],
        [numpy_helper.from_array(scale, "s"), numpy_helper.from_array(zeros, "z")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return computed(model, x=x)[0]


def same_bits(a, b):
    np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


@pytest.mark.parametrize("scale", SCALES)
def test_fp8_is_what_onnxruntime_computes(scale):
    x, step = values(scale), np.float32(scale)
    ours = dequantize(quantize(x, step, dtype="fp8e4m3"), step)
    theirs = through_onnxruntime(x, step, "fp8e4m3")
    same_bits(ours[~np.isnan(x)], theirs[~np.isnan(x)])
    assert np.isnan(ours[np.isnan(x)]).all()
    assert np.isnan(theirs[np.isnan(x)]).all()


def test_fp8_rounds_as_torch_does():
    x = values(1.0)
    x = x[np.abs(x) <= 448]
    expected = torch.from_numpy(x).to(torch.float8_e4m3fn).view(torch.uint8).numpy()
    np.testing.assert_array_equal(quantize(x, 1.0, dtype="fp8e4m3").view(np.uint8), expected)


def test_fp8_saturates_and_rounds_half_to_even():
    x = np.float32([448, 464, 1e9, -np.inf, 17, 19, -17, 2.0**-10, 3 * 2.0**-10])
    expected = [448, 448, 448, -448, 16, 20, -16, 0, 2.0**-8]
    assert quantize(x, 1.0, dtype="fp8e4m3").astype(np.float32).tolist() == expected


def test_scales_divide_by_the_largest_of_the_type():
    assert scale_of(448.0, "fp8e4m3") == 1
    assert scale_of([7.0, 0.0], "int4").tolist() == [1, 1]
    for dtype in ("fp8e4m3", "int4"):
        largest = float(ml_dtypes.finfo(ml_dtypes.float8_e4m3fn).max) if dtype != "int4" else 7
        assert FORMATS[dtype].largest == largest


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_blocks_of_int4_are_what_onnxruntime_computes(axis):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2 * BLOCK, 3 * BLOCK)).astype(np.float32)
    shape = list(x.shape)
    shape[axis] //= BLOCK
    scale = rng.uniform(0.05, 0.5, shape).astype(np.float32)
    ours = quantize(x, scale, axis=axis, dtype="int4", block_size=BLOCK)
    assert (int(ours.min()), int(ours.max())) == (-8, 7)
    theirs = through_onnxruntime(x, scale, "int4", axis=axis, block_size=BLOCK)
    same_bits(dequantize(ours, scale, axis=axis, block_size=BLOCK), theirs)


def test_a_narrow_range_of_int4_ends_at_minus_seven():
    x = np.float32([-9, -7.6, 7.6, 0.5])
    assert quantize(x, 1.0, dtype="int4").tolist() == [-8, -8, 7, 0]
    assert quantize(x, 1.0, dtype="int4", narrow_range=True).tolist() == [-7, -7, 7, 0]


def test_large_weights_are_quantized_in_parts_alike():
    x = np.random.default_rng(1).normal(size=(64, 2**13)).astype(np.float32)
    scale = np.abs(x).reshape(2, 32, -1).max(axis=1) / np.float32(7)
    whole = quantize(x, scale, axis=0, dtype="int4", block_size=32)
    columns = [
        quantize(x[:, i : i + 64], scale[:, i : i + 64], axis=0, dtype="int4", block_size=32)
        for i in range(0, x.shape[1], 64)
    ]
    np.testing.assert_array_equal(whole, np.concatenate(columns, axis=1))


@pytest.mark.parametrize(
    ("scale", "axis", "message"),
    [((2, 4), None, "need an axis"), ((1, 4), 0, "do not fit"), ((2, 4), 2, "has no blocks")],
)
def test_scales_that_do_not_fit_the_blocks_are_refused(scale, axis, message):
    x = np.zeros((64, 4), np.float32)
    with pytest.raises(ValueError, match=message):
        quantize(x, np.ones(scale, np.float32), axis=axis, dtype="int4", block_size=32)


def test_mse_of_few_levels_beats_max():
    rows = np.random.default_rng(2).laplace(size=(64, 128)).astype(np.float32)

    def error(method):
        scale = scale_of(weight_amax(rows, 0, method, levels=7), "int4")
        return np.square(
            dequantize(quantize(rows, scale, axis=0, dtype="int4"), scale, axis=0) - rows
        )

    assert error("mse").sum() < 0.9 * error("max").sum()
    assert (error("mse").sum(axis=1) <= error("max").sum(axis=1) * 1.0001).all()
