"""Pairs that a model has already are kept, shared and completed."""

import numpy as np
import onnx
import pytest

import onnxq
from onnxq.calibration.calibrate import observed_tensors
from onnxq.model.graph import Graph
from onnxq.model.preparing import name_nodes
from onnxq.planning.coverage import coverage
from tests.inserting import ALL, computed, quantized
from tests.onnx_text import model
from tests.planning import planned, rule

S = "float s = {0.05}, int8 z = {0}, float w_s = {0.02}"
X = np.random.default_rng(3).normal(size=(1, 3, 6, 6)).astype(np.float32)
PAIR = "q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z)"


def conv(body, weights="float[4,3,1,1] w", out="y"):
    outputs = ", ".join(f"float {name}" for name in out.split())
    return model(f"g (float[1,3,6,6] x) => ({outputs}) <{weights}, {S}> {{ {body} }}")


def pairs_of(folder, proto, *rules):
    graph = Graph(name_nodes(proto), digest="d")
    plan = planned(folder, graph, *(rules or (ALL,)))
    return graph, plan, {(p.tensor, p.kind, p.existing) for p in plan.pairs}


def count(proto, op):
    return sum(n.op_type == op for n in proto.graph.node)


def test_an_op_with_both_pairs_is_left_alone(tmp_path):
    body = f"{PAIR} e = DequantizeLinear (v, w_s, z) [c] y = Conv (d, e)"
    proto = conv(body, "int8[4,3,1,1] v")
    graph, plan, pairs = pairs_of(tmp_path, proto)
    assert not pairs
    assert coverage(plan)["weighted_ops_quantized"] == 1
    assert coverage(plan)["existing"] == 2
    assert observed_tensors(graph) == ()
    result = quantized(tmp_path, proto)
    assert result == proto


@pytest.mark.parametrize(
    ("way", "shape"), [("e", "4,3,1,1"), ("Transpose <perm = [1,0,2,3]> (e)", "3,4,1,1")]
)
def test_an_op_with_a_quantized_weight_gets_the_other_pair(tmp_path, way, shape):
    read = "f = " + (way if "(" in way else f"Identity ({way})")
    proto = conv(f"e = DequantizeLinear (v, w_s, z) {read} y = Conv (x, f)", f"int8[{shape}] v")
    assert pairs_of(tmp_path, proto)[2] == {("x", "activation", None)}
    assert count(quantized(tmp_path, proto), "DequantizeLinear") == 2


def test_an_op_with_a_quantized_input_gets_an_int8_weight(tmp_path):
    proto = conv(f"{PAIR} y = Conv (d, w)")
    assert pairs_of(tmp_path, proto)[2] == {("w", "weight", None)}


@pytest.mark.parametrize(
    "between", ["MaxPool <kernel_shape = [1,1]> (d)", "Tile (d, n)", "Gather <axis = 3> (d, i)"]
)
def test_a_pair_behind_ops_that_move_values_counts(tmp_path, between):
    constants = "float[4,3,1,1] w, int64[4] n = {1,1,2,1}, int64[2] i = {0,3}"
    proto = conv(f"{PAIR} m = {between} y = Conv (m, w)", constants)
    assert pairs_of(tmp_path, proto)[2] == {("w", "weight", None)}


def test_a_pair_that_tensorrt_does_not_move_across_an_op_does_not_count(tmp_path):
    between = "ReverseSequence <batch_axis = 0, time_axis = 1> (d, n)"
    proto = conv(f"{PAIR} m = {between} y = Conv (m, w)", "float[4,3,1,1] w, int64[1] n = {3}")
    assert pairs_of(tmp_path, proto)[2] == {("w", "weight", None), ("m", "activation", None)}


def test_another_reader_shares_the_pair(tmp_path):
    proto = conv(f"{PAIR} y = Conv (d, w) k = Conv (x, w)", out="y k")
    assert ("x", "activation", "d") in pairs_of(tmp_path, proto)[2]
    result = quantized(tmp_path, proto)
    assert count(result, "QuantizeLinear") == 1
    readers = [n for n in result.graph.node if n.op_type == "Conv"]
    assert [n.input[0] for n in readers] == ["d", "d"]


def test_a_reader_that_stands_before_the_pair_gets_one_of_its_scale(tmp_path):
    proto = conv(f"k = Conv (x, w) {PAIR} y = Conv (d, w)", out="y k")
    result = quantized(tmp_path, proto)
    onnx.checker.check_model(result, full_check=True)
    assert count(result, "QuantizeLinear") == 2
    scales = {t.name: t for t in result.graph.initializer}
    assert np.float32(0.05) == onnx.numpy_helper.to_array(scales["x_scale"])


UNUSUAL = {
    "uint8": ("s, u", "uint8 u = {0}"),
    "uint8 around 128": ("s, u", "uint8 u = {128}"),
    "a zero point": ("s, u", "int8 u = {-7}"),
    "no zero point": ("s", ""),
    "a scale of one element": ("one, u", "float[1] one = {0.05}, int8[1] u = {0}"),
}


@pytest.mark.parametrize("order", ["before", "behind"])
@pytest.mark.parametrize("kind", UNUSUAL)
def test_a_tensor_gets_no_second_pair_of_another_scale(tmp_path, kind, order):
    parameters, constants = UNUSUAL[kind]
    pair = f"q = QuantizeLinear (x, {parameters}) d = DequantizeLinear (q, {parameters})"
    first, second = "r = Relu (d) y = Conv (r, w)", "k = Conv (x, w)"
    body = f"{pair} {second} {first}" if order == "before" else f"{second} {pair} {first}"
    proto = conv(body, f"float[4,3,1,1] w{constants and ', '}{constants}", out="y k")
    result = quantized(tmp_path, proto)
    assert "OQ630" not in {f.code for f in onnxq.lint(result).findings}
    assert count(result, "QuantizeLinear") == (2 if order == "before" else 3)  # one on r
    by_output = {out: n for n in result.graph.node for out in n.output}
    result.graph.output.append(onnx.helper.make_empty_tensor_value_info("d"))
    read = by_output["k"].input[0]
    if read != "d":
        result.graph.output.append(onnx.helper.make_empty_tensor_value_info(read))
    of_pair, of_reader = (computed(result, x=X)[i] for i in (2, -1))
    np.testing.assert_array_equal(of_pair, of_reader)


def test_rules_that_meet_only_pairs_of_the_model_are_not_told_as_useless(tmp_path):
    body = f"{PAIR} e = DequantizeLinear (v, w_s, z) [c] y = Conv (d, e)"
    proto = conv(body, "int8[4,3,1,1] v")
    codes = lambda *rules: {d.code for d in pairs_of(tmp_path, proto, *rules)[1].diagnostics}  # noqa: E731
    assert "OQ205" not in codes()
    assert "OQ205" in codes(rule("{op: Gemm}", quantize="{all: act}"))
    assert "OQ205" in codes(rule("{op: Conv}", skip="all"))
    assert "OQ205" in codes(rule("{op: QuantizeLinear}", quantize="{all: act}"))


def test_a_pair_with_a_scale_for_each_channel_is_not_shared(tmp_path):
    pair = "q = QuantizeLinear (x, many, zeros) d = DequantizeLinear (q, many, zeros)"
    weights = "float[4,3,1,1] w, float[3] many = {1, 2, 3}, int8[3] zeros = {0,0,0}"
    proto = conv(f"{pair} r = Relu (d) k = Conv (x, w) y = Conv (r, w)", weights, out="y k")
    assert ("x", "activation", None) in pairs_of(tmp_path, proto)[2]


def test_a_dequantizer_of_another_scale_is_not_shared(tmp_path):
    pair = "q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, w_s, z)"
    proto = conv(f"{pair} r = Relu (d) k = Conv (x, w) y = Conv (r, w)", out="y k")
    assert ("x", "activation", None) in pairs_of(tmp_path, proto)[2]


def test_what_is_tied_takes_the_scale_that_is_there(tmp_path):
    body = f"a = Relu (x) {PAIR} c = Concat <axis = 0> (d, a) y = Conv (c, w)"
    tie = rule("{op: Concat}", id="tie", quantize="{inputs: act}", share_scale="[inputs, outputs]")
    result = quantized(tmp_path, conv(body), ALL, tie)
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in result.graph.initializer}
    assert arrays["a_scale"] == arrays["c_scale"] == np.float32(0.05)


def test_q_and_dq_nodes_are_not_quantized_themselves(tmp_path):
    everything = rule('{name: "**"}', quantize="{all: act}")
    proto = conv(f"{PAIR} r = Relu (d) y = Neg (r)")
    assert pairs_of(tmp_path, proto, everything)[2] == {("r", "activation", None)}


def test_completing_what_onnxq_made_changes_nothing(tmp_path):
    proto = conv(
        "a = Conv (x, w) b = Relu (a) y = Conv (b, v)", "float[4,3,1,1] w, float[2,4,1,1] v"
    )
    result = quantized(tmp_path, proto)
    assert not pairs_of(tmp_path, result)[2]
    (one,), (other,) = computed(result, x=X), computed(quantized(tmp_path, result), x=X)
    np.testing.assert_array_equal(one, other)
