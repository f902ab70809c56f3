import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxq.insertion.insert import insert
from onnxq.model.metadata import metadata_of
from onnxq.model.preparing import QDQ_OPSET, opset
from onnxq.quantization import fake_tensor_quant
from tests.inserting import ALL, computed, quantized
from tests.onnx_text import model
from tests.planning import rule

CONV = """
g (float[1,3,6,6] x) => (float[1,4,6,6] y) <float[4,3,3,3] w, float[4] b> {
    [conv] y = Conv <pads = [1,1,1,1]> (x, w, b)
}
"""
X = np.random.default_rng(1).uniform(-4, 4, (1, 3, 6, 6)).astype(np.float32)


def checked(proto):
    onnx.checker.check_model(proto, full_check=True)
    return proto


def arrays(proto):
    return {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}


def ops(proto):
    return [n.op_type for n in proto.graph.node]


def test_a_conv(tmp_path):
    qdq = checked(quantized(tmp_path, model(CONV)))
    assert ops(qdq) == ["QuantizeLinear", "DequantizeLinear", "DequantizeLinear", "Conv"]
    stored = arrays(qdq)
    assert {k: (v.shape, v.dtype.name) for k, v in stored.items()} == {
        "b": ((4,), "float32"),
        "x_scale": ((), "float32"),
        "x_zero_point": ((), "int8"),
        "w_quantized": ((4, 3, 3, 3), "int8"),
        "w_scale": ((4,), "float32"),
        "w_zero_point": ((4,), "int8"),
    }
    assert [a.i for a in qdq.graph.node[2].attribute if a.name == "axis"] == [0]
    assert not qdq.graph.node[0].attribute


def test_the_model_is_not_changed(tmp_path):
    proto = model(CONV)
    before = proto.SerializeToString()
    quantized(tmp_path, proto)
    assert proto.SerializeToString() == before


def test_weights_from_a_constant_node(tmp_path):
    proto = model(CONV)
    weight = next(t for t in proto.graph.initializer if t.name == "w")
    proto.graph.initializer.remove(weight)
    proto.graph.node.insert(0, helper.make_node("Constant", [], ["w"], name="k", value=weight))
    qdq = checked(quantized(tmp_path, proto))
    assert "Constant" not in ops(qdq)
    np.testing.assert_array_equal(
        computed(qdq, x=X)[0], computed(quantized(tmp_path, model(CONV)), x=X)[0]
    )


def test_weights_from_a_constant_node_of_floats(tmp_path):
    text = """
    g (float[2,3] x) => (float y) {
        w = Constant <value_floats = [1.0, -2.0, 0.5]> ()
        y = MatMul (x, w)
    }
    """
    flat = rule("{op: MatMul}", quantize="{inputs: act, weights: flat}")
    qdq = checked(quantized(tmp_path, model(text), flat))
    np.testing.assert_array_equal(arrays(qdq)["w_quantized"], np.int8([64, -127, 32]))


SHARED = """
g (float[1,4,6,6] x) => (float y, float z) <float[4,4,1,1] w> {
    [one] y = Conv (x, w)
    [two] z = Conv (x, w)
}
"""


def test_a_shared_weight_and_a_shared_activation_have_one_pair(tmp_path):
    qdq = checked(quantized(tmp_path, model(SHARED)))
    assert sorted(ops(qdq)).count("DequantizeLinear") == 2
    one, two = (n for n in qdq.graph.node if n.op_type == "Conv")
    assert list(one.input) == list(two.input) == ["x_dequantized", "w_dequantized"]


def test_one_of_two_consumers(tmp_path):
    only = rule("{name: two}", quantize="{inputs: act, weights: weight}")
    qdq = checked(quantized(tmp_path, model(SHARED), only))
    one, two = (n for n in qdq.graph.node if n.op_type == "Conv")
    assert list(one.input) == ["x", "w"]
    assert list(two.input) == ["x_dequantized", "w_dequantized"]
    assert "w" in arrays(qdq)


@pytest.mark.parametrize("reader", ["Relu (w)", "Identity (w)"])
def test_a_weight_that_another_op_reads_stays(tmp_path, reader):
    text = CONV.replace("(float[1,4,6,6] y)", "(float y, float u)").replace(
        "[conv]", f"u = {reader}\n    [conv]"
    )
    qdq = checked(quantized(tmp_path, model(text)))
    assert {"w", "w_quantized"} <= set(arrays(qdq))


def test_a_weight_that_is_also_an_output_stays(tmp_path):
    proto = model(CONV)
    proto.graph.output.append(helper.make_tensor_value_info("w", 1, [4, 3, 3, 3]))
    assert "w" in arrays(checked(quantized(tmp_path, proto)))


def test_a_weight_that_a_subgraph_reads_stays(tmp_path):
    text = """
    g (float[1,3,6,6] x, bool c) => (float y, float[4,3,3,3] z) <float[4,3,3,3] w> {
        [conv] y = Conv <pads = [1,1,1,1]> (x, w)
        [if] z = If (c) <
            then_branch = t () => (float[4,3,3,3] p) { p = Relu (w) },
            else_branch = e () => (float[4,3,3,3] q) { q = Neg (w) }
        >
    }
    """
    qdq = checked(quantized(tmp_path, model(text)))
    assert "w" in arrays(qdq)
    expected = np.maximum(arrays(model(text))["w"], 0)
    np.testing.assert_array_equal(computed(qdq, x=X, c=np.array(True))[1], expected)


def test_unnamed_and_equally_named_nodes_get_names(tmp_path):
    proto = model(SHARED)
    for node in proto.graph.node:
        node.name = ""
    qdq = checked(quantized(tmp_path, proto))
    assert {"Conv_y", "Conv_z"} < {n.name for n in qdq.graph.node}
    for node in proto.graph.node:
        node.name = "same"
    names = [n.name for n in checked(quantized(tmp_path, proto)).graph.node]
    assert len(set(names)) == len(names)
    assert {"same", "Conv_z"} < set(names)


TAKEN = ["x_scale", "x_quantized", "w_scale", "w_zero_point", "x_dequantized"]


@pytest.mark.parametrize("name", TAKEN)
def test_names_that_an_initializer_has_already(tmp_path, name):
    proto = model(CONV)
    other = numpy_helper.from_array(np.float32([1e9, 1e9]), name)
    proto.graph.initializer.append(other)
    qdq = checked(quantized(tmp_path, proto))
    np.testing.assert_array_equal(arrays(qdq)[name], [1e9, 1e9])
    plain = quantized(tmp_path, model(CONV))
    np.testing.assert_array_equal(computed(qdq, x=X)[0], computed(plain, x=X)[0])


@pytest.mark.parametrize("name", ["x_QuantizeLinear", "w_DequantizeLinear", "x_scale"])
def test_names_that_a_node_or_a_tensor_has_already(tmp_path, name):
    text = CONV.replace("[conv] y", f"[{name}] u").replace("\n}", f"\n    {name}_ = Relu (u)\n}}")
    text = text.replace(f"{name}_ =", "y =")
    qdq = checked(quantized(tmp_path, model(text)))
    names = [n.name for n in qdq.graph.node]
    assert len(set(names)) == len(names)


def test_two_pairs_on_one_tensor(tmp_path):
    qdq = checked(
        quantized(
            tmp_path,
            model(SHARED),
            rule("{name: one}", id="first", quantize="{inputs: act}"),
            rule("{name: two}", id="second", quantize="{inputs: other}"),
        )
    )
    one, two = (n for n in qdq.graph.node if n.op_type == "Conv")
    assert (one.input[0], two.input[0]) == ("x_dequantized", "x_dequantized_1")


def aged(version):
    """The Conv as old exporters write it: weights listed as inputs, an old opset and IR."""
    proto = model(CONV, opset=version)
    for name, shape in (("w", [4, 3, 3, 3]), ("b", [4])):
        proto.graph.input.append(helper.make_tensor_value_info(name, 1, shape))
    proto.ir_version = 4
    return proto


@pytest.mark.parametrize("version", [9, 10, 11, 12])
def test_old_opsets_are_raised_with_equal_outputs(tmp_path, version):
    qdq = checked(quantized(tmp_path, aged(version)))
    assert opset(qdq) == QDQ_OPSET
    plain = quantized(tmp_path, model(CONV))
    np.testing.assert_array_equal(computed(qdq, x=X)[0], computed(plain, x=X)[0])
    untouched = insert(aged(version), *nothing_planned(tmp_path))
    np.testing.assert_array_equal(
        computed(checked(untouched), x=X)[0], computed(aged(version), x=X)[0]
    )


def nothing_planned(folder):
    from onnxq.insertion.scales import compute_scales
    from onnxq.model.graph import Graph
    from tests.inserting import ranged
    from tests.planning import planned

    graph = Graph(model(CONV), digest="d")
    plan = planned(folder, graph, rule("{op: Conv}", skip="all"))
    return plan, compute_scales(graph, plan, ranged(plan))


@pytest.mark.parametrize("version", [13, 17, 19, 21])
def test_newer_opsets_stay(tmp_path, version):
    proto = model(CONV, opset=version)
    proto.ir_version = 10
    qdq = checked(quantized(tmp_path, proto))
    assert opset(qdq) == version


def test_initializers_listed_as_inputs(tmp_path):
    proto = aged(13)
    proto.ir_version = 7
    qdq = checked(quantized(tmp_path, proto))
    assert [i.name for i in qdq.graph.input] == ["x", "b"]


@pytest.mark.parametrize(
    ("op", "shape", "axis"),
    [
        ("MatMul (x, w)", "6,5", 1),
        ("Gemm (x, w)", "6,5", 1),
        ("Gemm <transB = 1> (x, w)", "5,6", 0),
    ],
)
def test_channel_axes(tmp_path, op, shape, axis):
    text = f"g (float[2,6] x) => (float[2,5] y) <float[{shape}] w> {{ y = {op} }}"
    qdq = checked(quantized(tmp_path, model(text)))
    dequantize = next(n for n in qdq.graph.node if n.input[0] == "w_quantized")
    assert [a.i for a in dequantize.attribute if a.name == "axis"] == [axis]
    w = arrays(model(text))["w"]
    expected = fake_tensor_quant(w, np.abs(w).max(axis=1 - axis), axis=axis)
    qdq.graph.output.append(onnx.ValueInfoProto(name="w_dequantized"))
    x = np.ones((2, 6), np.float32)
    np.testing.assert_array_equal(computed(qdq, x=x)[1], expected)


def test_metadata(tmp_path):
    plan, scales = nothing_planned(tmp_path)
    qdq = insert(model(CONV), plan, scales, metadata={"recipe": "r 1", "preprocess": ""})
    assert metadata_of(qdq) == {"recipe": "r 1", "preprocess": ""}
    assert [p.key for p in qdq.metadata_props] == ["onnxq.recipe", "onnxq.preprocess"]


def test_new_nodes_stand_right_before_their_first_reader(tmp_path):
    qdq = quantized(tmp_path, model(SHARED), ALL)
    assert ops(qdq)[-2:] == ["Conv", "Conv"]


def test_weights_kept_in_float_compute_what_int8_ones_do(tmp_path):
    stored, kept = (quantized(tmp_path, model(CONV), weights=way) for way in ("int8", "qdq"))
    assert ops(checked(kept)) == [
        "QuantizeLinear", "DequantizeLinear", "QuantizeLinear", "DequantizeLinear", "Conv",
    ]  # fmt: skip
    np.testing.assert_array_equal(arrays(kept)["w"], arrays(model(CONV))["w"])
    axes = [a.i for n in kept.graph.node for a in n.attribute if a.name == "axis"]
    assert axes == [0, 0]
    np.testing.assert_array_equal(computed(kept, x=X), computed(stored, x=X))


def test_values_of_optional_type_stay(tmp_path):
    text = (
        "g (float[2,4] x, bool c) => (float[2,4] y) <float[4,4] w> {"
        " o = If (c) <then_branch = t () => (optional(float[2,4]) p) { p = Optional(x) },"
        " else_branch = e () => (optional(float[2,4]) q) { a = Neg(x) q = Optional(a) }>"
        " z = OptionalGetElement(o) y = MatMul(z, w) }"
    )
    source = model(text, opset=18)
    result = checked(quantized(tmp_path, source))
    assert ops(result)[0] == "If"
    assert result.graph.node[0].attribute == source.graph.node[0].attribute
    inputs = {"x": X[0, 0, :2, :4], "c": np.array(False)}
    (values,), (expected,) = (computed(m, **inputs) for m in (result, source))
    np.testing.assert_allclose(values, expected, atol=0.5)
