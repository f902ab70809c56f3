"""Parts of ONNX that models seldom have: what is quantized beside them, and that they stay."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxq
from onnxq.diagnostics import OnnxqError
from onnxq.model.graph import Graph
from onnxq.model.preparing import prepare
from onnxq.model.scopes import nodes
from onnxq.model.strip import strip
from tests.inserting import computed, quantized
from tests.onnx_text import model

X = np.random.default_rng(3).uniform(-2, 2, (1, 3, 6, 6)).astype(np.float32)
PORTS = "(float[1,3,6,6] x) => (float[1,4,6,6] y)"
WEIGHT = "float[4,3,1,1] w"


def sparse(name, dims):
    values = numpy_helper.from_array(np.float32([0.5, -1, 2, 0.25]), name)
    places = numpy_helper.from_array(np.int64([0, 4, 8, 10]), f"{name}_places")
    return helper.make_sparse_tensor(values, places, dims)


def initializer_as_sparse():
    proto = model("g (float[2,4] x) => (float y) <float[4,3] w> { y = MatMul (x, w) }")
    del proto.graph.initializer[:]
    proto.graph.sparse_initializer.append(sparse("w", [4, 3]))
    return proto


def constant_as_sparse():
    proto = model("g (float[2,4] x) => (float y) <float[4,3] w> { y = MatMul (x, w) }")
    del proto.graph.initializer[:]
    node = helper.make_node("Constant", [], ["w"])
    node.attribute.append(helper.make_attribute("sparse_value", sparse("v", [4, 3])))
    proto.graph.node.insert(0, node)
    return proto


@pytest.mark.parametrize("made", [initializer_as_sparse, constant_as_sparse])
def test_sparse_weights_are_weights(tmp_path, made):
    graph = Graph(prepare(made()))
    assert graph.is_constant("w")
    dense = np.zeros((4, 3), np.float32)
    dense.flat[[0, 4, 8, 10]] = [0.5, -1, 2, 0.25]
    np.testing.assert_array_equal(graph.array("w"), dense)
    result = quantized(tmp_path, made())
    onnx.checker.check_model(result, full_check=True)
    x = np.random.default_rng(0).uniform(-4, 4, (2, 4)).astype(np.float32)
    np.testing.assert_allclose(computed(result, x=x)[0], x @ dense, atol=0.1)
    assert {t.name: t.data_type for t in result.graph.initializer}[
        "w_quantized"
    ] == TensorProto.INT8
    assert not result.graph.sparse_initializer
    assert "Constant" not in {n.op_type for n in result.graph.node}
    back = strip(quantized(tmp_path, made(), weights="qdq"))
    assert back.model == prepare(made())


WHOLE = '<ir_version: 8, opset_import: ["" : 17, "mine" : 1]>'
ODD = {
    "a graph of one node": f"g {PORTS} <{WEIGHT}> {{ y = Conv (x, w) }}",
    "an inner value as output": (
        f"g (float[1,3,6,6] x) => (float[1,3,6,6] a, float[1,4,6,6] y) <{WEIGHT}>"
        " { a = Relu (x) y = Conv (a, w) }"
    ),
    "an input as output": (
        f"g (float[1,3,6,6] x) => (float[1,3,6,6] x, float[1,4,6,6] y) <{WEIGHT}>"
        " { y = Conv (x, w) }"
    ),
    "strings": (
        f"g {PORTS} <{WEIGHT}, string[2] s = {{\"a\", \"b\"}}>"
        " { t = Identity (s) y = Conv (x, w) }"
    ),
    "a sequence": (
        f"g {PORTS} <{WEIGHT}, int64 zero = {{0}}>"
        " { s = SequenceConstruct (x, x) e = SequenceAt (s, zero) y = Conv (e, w) }"
    ),
    "an optional": (
        f"g {PORTS} <{WEIGHT}>"
        " { o = Optional (x) e = OptionalGetElement (o) y = Conv (e, w) }"
    ),
    "an absent optional input": (
        f"g {PORTS} <{WEIGHT}, float high = {{1}}> {{ a = Clip (x, , high) y = Conv (a, w) }}"
    ),
    "a local function": (
        f"{WHOLE} g {PORTS} <{WEIGHT}> {{ a = mine.twice (x) y = Conv (a, w) }}"
        ' <domain: "mine", opset_import: ["" : 17]> twice (i) => (o) { o = Add (i, i) }'
    ),
    "a branch": (
        f"g {PORTS} <{WEIGHT}, bool c = {{1}}> {{ a = If (c) <then_branch = t () => (float u)"
        " { u = Neg (x) }, else_branch = e () => (float v) { v = Conv (x, w) }> y = Conv (a, w) }"
    ),
    "names that the pairs would have": (
        f"g {PORTS} <{WEIGHT}, float x_scale = {{2}}>"
        " { x_quantized = Mul (x, x_scale) y = Conv (x, w) }"
    ),
}  # fmt: skip


def odd(name):
    return model(ODD[name])


@pytest.mark.parametrize("name", ODD)
def test_what_stands_beside_is_untouched(tmp_path, name):
    before = odd(name)
    result = quantized(tmp_path, odd(name))
    onnx.checker.check_model(result)
    inside = name == "a branch"
    assert [n.op_type for _, n in nodes(result.graph)].count("QuantizeLinear") == 1 + inside
    for expected, found in zip(computed(before, x=X), computed(result, x=X), strict=True):
        np.testing.assert_allclose(found, expected, atol=0.3)
    assert list(result.functions) == list(before.functions)
    assert list(result.graph.output) == list(before.graph.output)
    assert strip(quantized(tmp_path, odd(name), weights="qdq")).model == prepare(odd(name))


def test_initializers_as_inputs_stay_inputs_where_they_are_not_quantized(tmp_path):
    """As in files of IR version 3 and some of 4."""
    text = f"g {PORTS} <{WEIGHT}, float[4] b> {{ y = Conv (x, w, b) }}"
    before = model(text)
    for tensor in before.graph.initializer:
        value = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        before.graph.input.append(value)
    result = quantized(tmp_path, onnx.ModelProto.FromString(before.SerializeToString()))
    onnx.checker.check_model(result, full_check=True)
    assert [i.name for i in result.graph.input] == ["x", "b"]
    kept = quantized(
        tmp_path, onnx.ModelProto.FromString(before.SerializeToString()), weights="qdq"
    )
    assert strip(kept).model == prepare(before)


def test_weights_that_had_to_be_inputs():
    """IR version 3, where an initializer without an input of its name is not valid."""
    old = model("g (float[1,3,8,8] x) => (float y) <float[4,3,3,3] w> { y = Conv (x, w) }")
    old.ir_version = 3
    old.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3, 3, 3]))
    onnx.checker.check_model(old)
    made = onnxq.quantize(old, "random", backend="onnxruntime")
    onnx.checker.check_model(made.proto)
    assert made.report.models[0].outputs["y"].sqnr_db > 30


def test_two_initializers_of_one_name():
    twice = model("g (float[1,3] x) => (float y) <float[3,3] w> { y = MatMul (x, w) }")
    twice.graph.initializer.append(numpy_helper.from_array(np.eye(3, dtype=np.float32), "w"))
    with pytest.raises(OnnxqError, match=r"OQ302.*two initializers named 'w'"):
        onnxq.load(twice)
