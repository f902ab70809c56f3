"""Kernels that only convert, counted in real engines and in changed texts of them."""

import dataclasses

import pytest

from onnxq.kernels.conversions import conversions
from onnxq.kernels.layers import parse_layers
from onnxq.linting.qdq import QdqModel
from onnxq.verification import compile_report
from tests.verification.models import Builder, attention, quantized_conv, saved, varied

from .test_layers import TEXT


def counted(model, folder):
    found = dataclasses.asdict(compile_report(saved(model, folder)).conversions)
    return {kind: count for kind, count in found.items() if count}


def of_text(text):
    found = dataclasses.asdict(conversions(QdqModel(varied()), parse_layers(text)))
    return {kind: count for kind, count in found.items() if count}


def test_a_model_without_pairs_converts_nothing(tmp_path):
    build = Builder()
    data = build.op("Transpose", build.op("Relu", "x"), perm=[0, 2, 3, 1])
    assert counted(build.model(build.op("MatMul", data, build.weight(4, 8))), tmp_path) == {}


def test_the_input_is_quantized_and_a_convs_output_is_not(tmp_path):
    assert counted(quantized_conv(), tmp_path) == {"quantize": 1}
    build = Builder()
    data = build.conv(build.conv("x", 4, 8, name="first"), 8, 8, name="second")
    assert counted(build.model(data), tmp_path) == {"quantize": 1}


def test_a_second_pair_of_another_scale_rounds_again(tmp_path):
    build = Builder()
    data = build.op("Relu", build.conv("x", 4, 8, name="first"))
    twice = build.pair(build.pair(data, 0.05), 0.06)
    once = counted(build.model(build.conv(twice, 8, 8, scale=None)), tmp_path)
    assert once == {"quantize": 1, "requantize": 1}


def test_a_pair_for_an_op_in_float_rounds_for_nothing(tmp_path):
    build = Builder()
    data = build.pair(build.op("Sigmoid", "x"))
    assert counted(build.model(build.op("Exp", data)), tmp_path) == {"requantize": 1}
    assert counted(attention(probabilities=False), tmp_path)["requantize"] == 1
    assert "requantize" not in counted(attention(), tmp_path)


def test_weights_that_are_dequantized_at_run_time(tmp_path):
    build = Builder()
    model = build.model(build.conv("x", 4, 8, scale=None))
    assert counted(model, tmp_path) == {"weights": 1, "reformat": 2}


def test_an_int8_tensor_that_is_wanted_in_float(tmp_path):
    build = Builder()
    pool = build.op("MaxPool", build.pair("x"), kernel_shape=[2, 2], name="pool")
    assert counted(build.model(build.pair(pool)), tmp_path) == {"quantize": 1, "dequantize": 1}


def test_moving_data_for_the_model_is_no_reformat(tmp_path):
    build = Builder()
    data = build.op("Transpose", "x", perm=[0, 2, 3, 1], name="turned")
    assert counted(build.model(data), tmp_path) == {}


def test_sides_that_are_padded_for_a_product(tmp_path):
    build = Builder()
    tensor = build.pair("x")
    turned = build.pair(build.op("Transpose", tensor, perm=[0, 1, 3, 2]))
    odd = build.model(build.op("MatMul", tensor, turned), shape=(1, 2, 5, 7))
    assert counted(odd, tmp_path) == {"quantize": 1, "reformat": 3}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("", "", {}),
        ("__myl_MulMinMaxRounCast_myl0_0", "__myl_Move_myl0_0", {"quantize": -1, "reformat": 1}),
        ("__myl_MulMinMaxRounCast_myl0_0", "__myl_MulMinEtc_myl0_0",
         {"quantize": -1, "unclear": 1}),
        ("__myl_MulMinMaxRounCast_myl0_0", "_other_kernel_0", {"quantize": -1, "unclear": 1}),
        ("__myl_MulMinMaxRounCast_myl0_0", "__myl_SiluEtc_myl0_0", {"quantize": -1}),
        ("__myl_MulMinMaxRounCastCastMul_myl0_10", "__myl_SiluEtc_myl0_10",
         {"requantize": -1, "unclear": 1}),
    ],
)  # fmt: skip
def test_names_of_kernels(old, new, told):
    base = {"requantize": 1, "quantize": 1, "weights": 2}
    expected = {k: base.get(k, 0) + told.get(k, 0) for k in (*base, "reformat", "unclear")}
    assert of_text(TEXT.replace(old, new)) == {k: n for k, n in expected.items() if n}


def test_a_line_that_cannot_be_read_is_unclear():
    assert of_text(TEXT.replace("LayerType: maxpool", "maxpool", 1))["unclear"] == 1


def test_rescaling_int8_is_requantizing():
    lines = [
        line.replace("Datatype: Float", "Datatype: Int8").replace("MulMulMin", "CastMulMulMin")
        if line.startswith("Name: __myl_MulMulMinMaxRounCast_myl0_2,")
        else line
        for line in TEXT.split("\n")
    ]
    assert of_text("\n".join(lines))["requantize"] == 2
