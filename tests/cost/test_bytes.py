"""Bytes and multiplications of five small engines, against sums by hand of the listed tensors."""

import pytest

from .engines import (
    FP32_CONV,
    INT8_CONV,
    averaged,
    cost,
    half_product,
    int4_product,
    residual,
    two_products_added,
)

FLOAT, HALF, INT8 = 4, 2, 1
IMAGE = 8 * 8  # of the Convs' inputs: 4 channels of 8x8
TAPS = 3 * 3


def listed(engine):
    """Inputs, weights and outputs of every kernel."""
    return [(k.inputs, k.weights, k.outputs) for step in engine.steps for k in step.kernels]


def test_an_int8_conv(tmp_path):
    engine = cost(INT8_CONV(), tmp_path)
    assert listed(engine) == [
        # quantizes x: reads it and one scale, writes 4 channels in int8
        (4 * IMAGE * FLOAT, FLOAT, 4 * IMAGE * INT8),
        # 8 filters of 4 channels in int8, two float vectors of 8
        (4 * IMAGE * INT8, 8 * 4 * TAPS * INT8 + 2 * 8 * FLOAT, 8 * IMAGE * FLOAT),
        # scales the result of the Conv by channel
        (8 * IMAGE * FLOAT, 8 * FLOAT, 8 * IMAGE * FLOAT),
    ]
    assert engine.listed_bytes == (1024 + 4 + 256) + (256 + 352 + 2048) + (2048 + 32 + 2048)
    assert engine.listed_bytes == 8068
    # the float result of the Conv is not written, nor read
    assert engine.bytes == 8068 - 2 * 2048 == 3972
    assert engine.weight_bytes == 4 + 352 + 32
    assert engine.macs == {"int8": 8 * 4 * TAPS * IMAGE} == {"int8": 18432}


def test_a_float_conv(tmp_path):
    engine = cost(FP32_CONV(), tmp_path)
    assert listed(engine) == [
        (4 * IMAGE * FLOAT, 0, 4 * IMAGE * FLOAT),  # channels last
        (4 * IMAGE * FLOAT, 8 * 4 * TAPS * FLOAT + 2 * FLOAT, 8 * IMAGE * FLOAT),
        (8 * IMAGE * FLOAT, 0, 8 * IMAGE * FLOAT),  # channels first
    ]
    assert engine.listed_bytes == 2048 + (1024 + 1160 + 2048) + 4096 == 10376
    assert engine.bytes == 10376 - 2 * 2048
    assert engine.macs == {"fp32": 18432}


def test_a_product_in_half_precision(tmp_path):
    engine = cost(half_product(), tmp_path)
    assert listed(engine) == [
        (16 * 64 * FLOAT, 0, 16 * 64 * HALF),
        (16 * 64 * HALF, 64 * 32 * HALF, 16 * 32 * FLOAT),
    ]
    # the product's own kernel casts: nothing stays on the chip that is listed
    assert engine.bytes == engine.listed_bytes == 6144 + (2048 + 4096 + 2048) == 14336
    assert engine.macs == {"fp16": 16 * 64 * 32}


def test_weights_in_int4_are_multiplied_in_float(tmp_path):
    engine = cost(int4_product(), tmp_path)
    # two values a byte, and a scale for each block of 32
    weights = 256 * 48 // 2 + 256 // 32 * 48 * FLOAT
    assert listed(engine) == [(4 * 256 * FLOAT, weights, 4 * 48 * FLOAT)]
    assert engine.bytes == engine.listed_bytes == 4096 + 7680 + 768
    assert engine.macs == {"fp32": 4 * 256 * 48}


def test_a_residual_block(tmp_path):
    engine = cost(residual(), tmp_path)
    result = 32 * IMAGE
    assert listed(engine) == [
        (4 * IMAGE * FLOAT, FLOAT, 4 * IMAGE),
        (4 * IMAGE, 32 * 4 * TAPS + 2 * 32 * FLOAT, result * FLOAT),
        (result * FLOAT, FLOAT + 32 * FLOAT, result),
        (result, 32 * 32 * TAPS + 2 * 32 * FLOAT, result * FLOAT),
        # the result of the second Conv, and the skip in int8
        (result * FLOAT + result, 32 * FLOAT + FLOAT, result * FLOAT),
    ]
    assert engine.listed_bytes == 1284 + 9856 + 10372 + 19712 + 18564 == 59788
    assert engine.bytes == 59788 - 2 * (2 * result * FLOAT) == 27020
    assert engine.macs == {"int8": (32 * 4 + 32 * 32) * TAPS * IMAGE}
    assert [[k.name for k in step.kernels] for step in engine.steps][1] == [
        "one_myl0_1",
        "__myl_MulReluMulMinMaxRounCast_myl0_2",
    ]


def test_one_of_two_products_that_are_added_is_stored(tmp_path):
    engine = cost(two_products_added(), tmp_path)
    assert engine.listed_bytes - engine.bytes == 2 * 32 * IMAGE * FLOAT


def test_a_mean_reads_the_result_of_a_product_from_memory(tmp_path):
    engine = cost(averaged(), tmp_path)
    assert engine.bytes == engine.listed_bytes
    assert engine.macs == {"int8": 32 * 4 * TAPS * IMAGE}


@pytest.mark.parametrize("make", [INT8_CONV, FP32_CONV, half_product, int4_product, residual])
def test_the_least_time_is_that_of_the_slower_of_memory_and_products(make, tmp_path):
    engine = cost(make(), tmp_path)
    seconds = [max(step.bytes / 300e9, _products(step.macs)) for step in engine.steps]
    assert engine.seconds == pytest.approx(sum(seconds), rel=1e-12)


def _products(macs):
    peaks = {"int8": 242.5e12, "fp16": 121e12, "fp32": 60e12}
    return sum(2 * count / peaks[dtype] for dtype, count in macs.items())
