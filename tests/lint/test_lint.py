import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.backend.test.case.node import collect_testcases

from onnxq.diagnostics import Severity
from onnxq.lint import RULES, lint
from tests.verify.models import Builder, float_conv, quantized_conv

CASES = {}


def case(code, *, good=False):
    """Register a function that makes a model; a bad one must give exactly this code."""

    def register(make):
        CASES[make.__name__] = (code, good, make)
        return make

    return register


def conv_with_pair(**options):
    build = Builder()
    data = build.pair("x", **options)
    return build.model(build.conv(data, 4, 8, scale=None))


def matmul(axis, *, transpose=False, shape=(4, 8), scales=None):
    build = Builder()
    scales = np.full(shape[axis] if scales is None else scales, 0.02)
    weight = build.pair(build.weight(*shape), scales, axis=axis)
    weight = build.op("Transpose", weight, perm=[1, 0]) if transpose else weight
    return build.model(build.op("MatMul", build.pair("x"), weight, name="mm"), shape=(2, 4))


@case("OQ610")
def zero_point_missing():
    return conv_with_pair(zero="")


@case("OQ610")
def zero_point_not_zero():
    return conv_with_pair(zero=np.int8(3))


@case("OQ622")
def zero_point_uint8():
    return conv_with_pair(zero=np.uint8(0))


@case("OQ610")
def zero_points_too_few():
    build = Builder()
    weight = build.pair(build.weight(8, 4, 3, 3), np.full(8, 0.1), axis=0, zero=np.int8(0))
    return build.model(build.op("Conv", build.pair("x"), weight, name="conv"))


@case("OQ610", good=True)
def stored_weight_without_zero_point():
    build = Builder()
    stored = build.constant(np.ones((8, 4, 3, 3), np.int8))
    scales = build.constant(np.full(8, 0.1, np.float32))
    weight = build.op("DequantizeLinear", stored, scales, axis=0)
    return build.model(build.op("Conv", build.pair("x"), weight, name="conv"))


@case("OQ610", good=True)
def zero_point_through_identity():
    build = Builder()
    zero = build.op("Identity", build.constant(np.int8(0)))
    return build.model(build.conv(build.pair("x", zero=zero), 4, 8, scale=None))


@case("OQ611")
def scale_zero():
    return conv_with_pair(scale=0.0)


@case("OQ611")
def scale_negative():
    return conv_with_pair(scale=-0.1)


@case("OQ611")
def scale_infinite():
    return conv_with_pair(scale=np.inf)


@case("OQ611")
def scale_denormal():
    return conv_with_pair(scale=1e-42)


@case("OQ611")
def scale_of_one_channel_zero():
    build = Builder()
    weight = build.pair(build.weight(3, 4, 3, 3), np.array([0.1, 0, 0.1]), axis=0)
    return build.model(build.op("Conv", build.pair("x"), weight, name="conv"))


@case("OQ623")
def scale_at_run_time():
    model = conv_with_pair(scale="scale")
    model.graph.input.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, []))
    return model


@case("OQ611")
def scale_in_a_constant_node_is_nan():
    build = Builder()
    scale = build.op("Constant", value_float=float("nan"))
    return build.model(build.conv(build.pair("x", scale=scale), 4, 8, scale=None))


@case("OQ611", good=True)
def scale_in_a_constant_node():
    build = Builder()
    scale = build.op("Constant", value_float=0.1)
    return build.model(build.conv(build.pair("x", scale=scale), 4, 8, scale=None))


@case("OQ612")
def activation_scale_of_shape_1():
    return conv_with_pair(scale=[0.1])


@case("OQ612")
def weight_scale_of_shape_1():
    build = Builder()
    weight = build.pair(build.weight(8, 4, 3, 3), [0.1], axis=0)
    return build.model(build.op("Conv", build.pair("x"), weight, name="conv"))


@case("OQ612", good=True)
def weight_of_one_channel():
    build = Builder()
    return build.model(build.conv("x", 4, 1))


@case("OQ613")
def conv_axis_1():
    build = Builder()
    weight = build.per_channel(8, 4, 3, 3, axis=1)
    return build.model(build.op("Conv", build.pair("x"), weight, name="conv"))


@case("OQ613")
def conv_axis_missing():
    build = Builder()
    weight = build.pair(build.weight(4, 4, 3, 3), np.full(4, 0.1))
    return build.model(build.op("Conv", build.pair("x"), weight, name="conv"))


@case("OQ613")
def conv_with_too_few_scales():
    build = Builder()
    weight = build.pair(build.weight(8, 4, 3, 3), np.full(4, 0.1), axis=0)
    return build.model(build.op("Conv", build.pair("x"), weight, name="conv"))


@case("OQ613")
def matmul_axis_0():
    return matmul(0)


@case("OQ613", good=True)
def matmul_axis_1():
    return matmul(1)


@case("OQ613", good=True)
def matmul_axis_negative():
    return matmul(-1)


@case("OQ613", good=True)
def matmul_axis_0_before_a_transpose():
    return matmul(0, transpose=True, shape=(8, 4))


@case("OQ613")
def matmul_axis_1_before_a_transpose():
    return matmul(1, transpose=True, shape=(8, 4))


@case("OQ613", good=True)
def gemm_axis_0_when_transposed():
    build = Builder()
    weight = build.per_channel(8, 4, axis=0)
    out = build.op("Gemm", build.pair("x"), weight, name="gemm", transB=1)
    return build.model(out, shape=(2, 4))


@case("OQ614")
def activation_per_channel():
    return conv_with_pair(scale=np.full(4, 0.1), axis=1)


@case("OQ615")
def scales_of_a_pair_differ():
    return conv_with_pair(scale=0.1, dq_scale=0.2)


@case("OQ616")
def bias_int32():
    build = Builder()
    bias = build.constant(np.ones(8, np.int32))
    bias = build.op("DequantizeLinear", bias, build.constant(np.full(8, 0.01, np.float32)), axis=0)
    weight = build.per_channel(8, 4, 3, 3, axis=0)
    return build.model(build.op("Conv", build.pair("x"), weight, bias, name="conv"))


@case("OQ617")
def weight_only():
    build = Builder()
    return build.model(build.conv("x", 4, 8, scale=None))


@case("OQ617")
def activation_only():
    build = Builder()
    return build.model(build.conv("x", 4, 8, weights=False))


@case("OQ617")
def pair_in_front_of_a_relu():
    build = Builder()
    data = build.op("Relu", build.pair("x"))
    return build.model(build.conv(data, 4, 8, scale=None))


@case("OQ617")
def attention_with_one_side():
    build = Builder()
    other = build.op("Transpose", "x", perm=[1, 0])
    return build.model(build.op("MatMul", build.pair("x"), other, name="mm"), shape=(4, 4))


@case("OQ617", good=True)
def pair_in_front_of_a_max_pool():
    build = Builder()
    data = build.op("MaxPool", build.pair("x"), kernel_shape=[2, 2])
    return build.model(build.conv(data, 4, 8, scale=None))


@case("OQ618")
def stored_int8_into_a_transpose():
    build = Builder()
    stored = build.op("Transpose", build.constant(np.ones((8, 4), np.int8)), perm=[1, 0])
    scale, zero = build.constant(np.float32(0.1)), build.constant(np.int8(0))
    weight = build.op("DequantizeLinear", stored, scale, zero)
    return build.model(build.op("MatMul", build.pair("x"), weight, name="mm"), shape=(2, 4))


@case("OQ619")
def node_without_a_name():
    model = quantized_conv()
    model.graph.node[0].ClearField("name")
    return model


@case("OQ619")
def two_nodes_of_one_name():
    model = quantized_conv()
    model.graph.node[0].name = model.graph.node[1].name
    return model


@case("OQ619", good=True)
def constant_without_a_name():
    model = scale_in_a_constant_node()
    model.graph.node[0].ClearField("name")
    assert model.graph.node[0].op_type == "Constant"
    return model


@case("OQ620")
def axis_in_opset_12():
    return quantized_conv(opset=12)


@case("OQ620", good=True)
def per_tensor_in_opset_12():
    build = Builder()
    weight = build.pair(build.weight(8, 4, 3, 3))
    return build.model(build.op("Conv", build.pair("x"), weight, name="conv"), opset=12)


@case("OQ621")
def float_model():
    return float_conv()


@pytest.mark.parametrize("name", CASES)
def test_a_rule_finds_its_fault_and_nothing_else(name):
    code, good, make = CASES[name]
    model = make()
    before = model.SerializeToString(deterministic=True)
    assert {d.code for d in lint(model)} == (set() if good else {code})
    assert model.SerializeToString(deterministic=True) == before


def test_every_rule_has_a_case():
    assert len(RULES) == len({code for code, good, _ in CASES.values() if not good}) == 14


def test_a_good_model_has_no_findings():
    assert lint(quantized_conv()) == ()


def test_one_fault_of_a_shared_scale_is_told_once():
    build = Builder()
    scale = build.constant(np.float32(0))
    first = build.conv(build.pair("x", scale), 4, 4, name="a", scale=None)
    model = build.model(build.conv(build.pair(first, scale), 4, 4, name="b", scale=None))
    assert [d.code for d in lint(model)] == ["OQ611"]


def test_only_names_and_unequal_scales_are_warnings():
    codes = {
        d.code
        for _, _, make in CASES.values()
        for d in lint(make())
        if d.severity is Severity.WARNING
    }
    assert codes == {"OQ615", "OQ619"}


def test_messages_name_the_node_the_fault_and_the_cure():
    (found,) = lint(matmul(0))
    assert str(found) == (
        "error[OQ613]: MatMul 'mm': the scale of weight 'const_1' has axis 0; "
        "it must be 1; write one scale for each output channel, on the axis of that channel"
    )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_lint_takes_the_test_models_of_every_operator():
    models = [test.model for test in collect_testcases(None)]
    assert len(models) > 1000
    assert {found.code for model in models for found in lint(model)} >= {"OQ610", "OQ619"}


def test_lint_takes_damaged_models():
    for make in (
        quantized_conv,
        lambda: matmul(0, transpose=True, shape=(8, 4)),
        scale_in_a_constant_node,
    ):
        for index in range(len(make().graph.node)):
            for keep in (0, 1):
                model = make()
                del model.graph.node[index].input[keep:]
                lint(model)
        for index in range(len(make().graph.initializer)):
            model = make()
            model.graph.initializer[index].ClearField("raw_data")
            lint(model)
            del model.graph.initializer[index]
            lint(model)
