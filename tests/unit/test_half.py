"""The float rest in half precision: types, Casts, constants, ports, and what stays as it was."""

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxq.insertion.half import lower
from onnxq.insertion.precision import HALF
from onnxq.model.constants import Constants
from onnxq.model.graph import Graph
from onnxq.model.preparing import name_nodes, opset
from onnxq.model.scopes import nodes
from onnxq.model.strip import strip
from tests.inserting import computed, quantized
from tests.onnx_text import model

FP16, BF16, FP32 = TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT
CONVS = (
    "g (float[1,4,8,8] x) => (float[1,4,8,8] y) <float[4,4,1,1] w, float[4] b, float[4,4,1,1] v> {"
    " [one] a = Conv(x, w, b) [act] r = Relu(a) [two] y = Conv(r, v) }"
)


def lowered(source, *kept, to="fp16", io_types="keep"):
    """A model in half precision, but for some nodes; checked, its types too."""
    made, rest = lower(source, HALF[to], kept=dict.fromkeys(kept, "test"), io_types=io_types)
    onnx.checker.check_model(made, full_check=True)
    return made, rest


def written(text, *kept, **options):
    return lowered(name_nodes(model(text)), *kept, **options)[0]


def kinds(made):
    return Counter(n.op_type for n in made.graph.node)


def types(made):
    """The element type of every tensor."""
    graph = Graph(made)
    return {
        name: graph.type(name).dtype
        for node in made.graph.node
        for name in (*node.input, *node.output)
        if name
    }


def ports(made):
    return [v.type.tensor_type.elem_type for v in (*made.graph.input, *made.graph.output)]


def values(made):
    return {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}


def test_everything_is_half_and_the_ports_are_not():
    made = written(CONVS)
    assert kinds(made) == {"Cast": 2, "Conv": 2, "Relu": 1}
    assert ports(made) == [FP32, FP32]
    assert types(made) == {
        "x": FP32, "x_float16": FP16, "w": FP16, "b": FP16, "a": FP16, "r": FP16, "v": FP16,
        "y_float16": FP16, "y": FP32,
    }  # fmt: skip
    assert opset(made) == 19


def test_ports_in_half_too():
    made = written(CONVS, io_types="half")
    assert kinds(made) == {"Conv": 2, "Relu": 1}
    assert ports(made) == [FP16, FP16]


def test_bfloat16_has_an_opset_whose_convs_take_it():
    made = written(CONVS, to="bf16")
    assert opset(made) == 22
    assert {types(made)[name] for name in ("w", "b", "a", "r", "v")} == {BF16}


def test_scales_are_half_and_no_cast_stands_at_a_pair(tmp_path):
    made, rest = lowered(quantized(tmp_path, model(CONVS)))
    found = types(made)
    nodes = {n.name: n for n in made.graph.node}
    assert kinds(made)["Cast"] == rest.casts == 1  # the output's: x is quantized as it comes
    assert found[nodes["x_QuantizeLinear"].input[1]] == FP32
    for name in ("x", "w", "r", "v"):
        assert found[nodes[f"{name}_DequantizeLinear"].input[1]] == FP16
    (one,) = (v for k, v in values(made).items() if k == nodes["x_QuantizeLinear"].input[1])
    (other,) = (v for k, v in values(made).items() if k == nodes["x_DequantizeLinear"].input[1])
    assert one == other.astype(np.float32)


def test_a_kept_op_is_in_float32_with_a_cast_on_either_side():
    made = written(CONVS, "act")
    found = types(made)
    assert [found[t] for t in ("a", "a_float32", "r", "r_float16")] == [FP16, FP32, FP32, FP16]
    assert kinds(made)["Cast"] == 4


def test_a_dequantizer_that_both_types_read_stands_twice(tmp_path):
    text = (
        "g (float[1,4,8,8] x) => (float[1,4,8,8] y, float[1,4,8,8] z) "
        "<float[4,4,1,1] w, float[4,4,1,1] v> { [one] y = Conv(x, w) [two] z = Conv(x, v) }"
    )
    made, _ = lowered(quantized(tmp_path, model(text)), "two")
    nodes = {n.name: n for n in made.graph.node}
    twins = [nodes[n] for n in ("x_DequantizeLinear", "x_DequantizeLinear_float32")]
    assert len({n.input[0] for n in twins}) == 1
    assert [types(made)[n.output[0]] for n in twins] == [FP16, FP32]
    assert types(made)["z"] == FP32
    assert kinds(made)["Cast"] == 1


def test_one_cast_serves_all_readers():
    text = (
        "g (float[2,4] x) => (float[2,4] y) { [one] a = Relu(x) [two] b = Sigmoid(x) "
        "[three] c = Tanh(x) [four] d = Add(a, b) [five] y = Add(d, c) }"
    )
    made = written(text)
    assert [n.op_type for n in made.graph.node].count("Cast") == 2
    assert made.graph.node[0].op_type == "Cast"


def test_a_constant_that_both_types_read_is_there_in_both():
    text = (
        "g (float[2,4] x) => (float[2,4] y) <float[4] c> "
        "{ [one] a = Add(x, c) [two] y = Mul(a, c) }"
    )
    made = written(text, "two")
    assert {n: v.dtype for n, v in values(made).items()} == {"c": "f4", "c_float16": "f2"}
    np.testing.assert_array_equal(values(made)["c"].astype(np.float16), values(made)["c_float16"])


def test_constant_nodes_take_the_type_of_their_use():
    text = (
        "g (float[2,4] x) => (float[2,4] y) { c = Constant<value_float = 0.5>() "
        "d = Constant<value = float {0.25}>() i = Constant<value_ints = [4, 2]>() "
        "[one] a = Add(x, c) [two] b = Mul(a, d) [three] e = Reshape(b, i) "
        "j = Constant<value_ints = [2, 4]>() [four] y = Reshape(e, j) }"
    )
    made = written(text)
    assert values(made)["c"].dtype == values(made)["d"].dtype == np.float16
    assert kinds(made) == {"Cast": 2, "Constant": 2, "Add": 1, "Mul": 1, "Reshape": 2}


def test_what_onnx_leaves_in_float32_stays():
    text = (
        "g (float[1,4,8,8] x) => (float[1,4,16,16] y) { [conv] a = Relu(x) "
        "s = Constant<value_floats = [1.0,1.0,2.0,2.0]>() "
        '[up] y = Resize<mode = "nearest">(a, , s) }'
    )
    assert types(written(text))["s"] == FP32


MADE = {
    "Cast": "i = Shape<start = 1>(x) [made] c = Cast<to = 1>(i)",
    "ConstantOfShape": "i = Shape(x) [made] c = ConstantOfShape<value = float[1] {2}>(i)",
    "RandomNormalLike": "[made] c = RandomNormalLike(x)",
    "Range": "a = Constant<value = float {0}>() b = Constant<value = float {4}>() "
    "d = Constant<value = float {1}>() [made] c = Range(a, b, d)",
}


@pytest.mark.parametrize("op", MADE)
def test_a_result_whose_type_no_input_gives_is_float32(op):
    made = written(f"g (float[4,4] x) => (float[4,4] y) {{ {MADE[op]} [two] y = Add(x, c) }}")
    assert [types(made)[t] for t in ("c", "c_float16", "y_float16")] == [FP32, FP16, FP16]


def test_subgraphs_stay_in_float32_and_read_it():
    text = (
        "g (float[2,4] x, bool p) => (float[2,4] y) <float[4] c> { [one] a = Add(x, c) "
        "[both] b = If<then_branch = t () => (float[2,4] u) { u = Mul(a, c) }, "
        "else_branch = e () => (float[2,4] v) { v = Neg(a) }>(p) [two] y = Relu(b) }"
    )
    source = name_nodes(model(text))
    made, rest = lowered(source)
    assert types(made)["a"] == FP16
    assert {n: v.dtype for n, v in values(made).items()} == {"c": "f4", "c_float16": "f2"}
    assert rest.kept == {"both": "fp16 does not fit the op"}
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    for p in (True, False):
        (before,), (after,) = (computed(m, x=x, p=np.asarray(p)) for m in (source, made))
        np.testing.assert_allclose(after, before, rtol=2e-2, atol=2e-3)


def test_an_op_of_another_domain_is_left_as_it_is_when_kept():
    text = (
        '<ir_version: 8, opset_import: ["" : 17, "com.example" : 1]> '
        "g (float[1,4,2,2] x) => (float[1,4,2,2] y) <float[4,4,1,1] w> "
        "{ [own] a = com.example.Twice(x) [conv] y = Conv(a, w) }"
    )
    made, _ = lower(name_nodes(model(text)), HALF["fp16"], kept={"own": "test"})
    (own,) = (n for n in made.graph.node if n.name == "own")
    (conv,) = (n for n in made.graph.node if n.name == "conv")
    assert (own.input[0], own.output[0]) == ("x", "a")
    assert conv.input[0] == "a_float16"  # of unknown type, but what the weight of the Conv was


def test_a_port_that_is_read_inside_and_one_that_passes_through():
    text = (
        "g (float[2,4] x) => (float[2,4] x, float[2,4] a, float[2,4] y) "
        "{ [one] a = Relu(x) [two] y = Sigmoid(a) }"
    )
    source = name_nodes(model(text))
    for io_types, dtype in (("keep", np.float32), ("half", np.float16)):
        made, _ = lowered(source, io_types=io_types)
        found = computed(made, x=np.ones((2, 4), dtype))
        assert [a.dtype for a in found] == [dtype] * 3


def test_infinite_and_lowest_values_of_a_constant():
    text = "g (float[2] x) => (float[2] y) <float[2] c = {-3.4e38, 1e-9}> { [one] y = Add(x, c) }"
    assert values(written(text))["c"].tolist() == [-np.inf, 0]


def test_scales_never_become_zero(tmp_path):
    source = quantized(tmp_path, model(CONVS))
    for tensor in source.graph.initializer:
        if tensor.name == "w_scale":
            small = np.float32([1e-9, 1e-7, 1e-5, 1e-2])
            tensor.CopyFrom(numpy_helper.from_array(small, "w_scale"))
    made, _ = lowered(source)
    scale = values(made)["w_scale"].astype(np.float32)
    assert (scale >= small * np.float32(1 - 2**-11)).all()
    np.testing.assert_allclose(scale[2:], small[2:], rtol=5e-3)


def test_with_every_op_kept_it_computes_the_same_bits(tmp_path):
    source = quantized(tmp_path, model(CONVS))
    made, rest = lowered(source, "one", "act", "two")
    assert (rest.half_ops, rest.casts) == (0, 0)
    x = np.random.default_rng(0).normal(size=(1, 4, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(computed(source, x=x), computed(made, x=x))


def test_it_computes_nearly_the_same(tmp_path):
    source = quantized(tmp_path, model(CONVS))
    x = np.random.default_rng(0).normal(size=(1, 4, 8, 8)).astype(np.float32)
    (before,), (after,) = (computed(m, x=x) for m in (source, lowered(source)[0]))
    assert after.dtype == np.float32
    noise = np.square(after - before).sum() / np.square(before).sum()
    assert 0 < noise < 1e-4


def test_notes_and_annotations():
    source = name_nodes(model(CONVS))
    source.metadata_props.add(key="made", value="by hand")
    source.graph.node[0].doc_string = "the first"
    source.graph.initializer[0].doc_string = "a weight"
    source.graph.value_info.append(helper.make_tensor_value_info("r", FP32, [1, 4, 8, 8]))
    before = source.SerializeToString()
    made, _ = lowered(source)
    assert source.SerializeToString() == before
    assert [p.value for p in made.metadata_props] == ["by hand"]
    assert {n.doc_string for n in made.graph.node} == {"", "the first"}
    assert next(t.doc_string for t in made.graph.initializer if t.name == "w") == "a weight"
    assert [v.type.tensor_type.elem_type for v in made.graph.value_info if v.name == "r"] == [FP16]


def test_an_old_model_that_lists_its_initializers_as_inputs():
    source = name_nodes(model(CONVS))
    for tensor in source.graph.initializer:
        info = helper.make_tensor_value_info(tensor.name, FP32, tensor.dims)
        source.graph.input.append(info)
    made, _ = lowered(source)
    assert {v.name: v.type.tensor_type.elem_type for v in made.graph.input} == {
        "x": FP32, "w": FP16, "b": FP16, "v": FP16,
    }  # fmt: skip


@pytest.mark.parametrize("to", HALF)
def test_a_scale_is_the_same_for_a_q_outside_and_its_dq_in_a_branch(tmp_path, to):
    """The Q reads half precision, the branch stays in FP32: both scales have the same value."""
    source = model(
        "g (float[2,4] x, bool c) => (float[2,4] y) <float[4,4] w> {"
        " a = Relu(x) y = If (c) <then_branch = t () => (float[2,4] p) { p = MatMul(a, w) },"
        " else_branch = e () => (float[2,4] q) { q = Neg(a) }> }"
    )
    made, _ = lowered(quantized(tmp_path, source), to=to)
    pairs = {n.op_type: n for _, n in nodes(made.graph) if n.input[0].startswith("a")}
    quantizer, dequantizer = pairs["QuantizeLinear"], pairs["DequantizeLinear"]
    constants = Constants(made.graph)
    one, other = (constants.array(n.input[1]) for n in (quantizer, dequantizer))
    assert one.dtype == HALF[to].dtype
    assert other.dtype == np.float32
    assert float(one) == float(other)


@pytest.mark.parametrize("to", HALF)
@pytest.mark.parametrize("weights", ["int8", "qdq"])
def test_without_its_pairs_a_model_is_still_of_fitting_types(tmp_path, to, weights):
    """A Q reads the FP32 input or weight, its DQ gives half precision: a Cast takes their place."""
    text = (
        "g (float[2,4] x) => (float[2,4] y) <float[4,4] w>"
        " { a = MatMul(x, w) r = Relu(a) y = MatMul(r, w) }"
    )
    made, _ = lowered(quantized(tmp_path, model(text), weights=weights), to=to)
    back = strip(made)
    assert not back.diagnostics
    onnx.checker.check_model(back.model, full_check=True)
    assert kinds(back.model) == {"Cast": 2 if weights == "int8" else 3, "MatMul": 2, "Relu": 1}
    assert types(back.model)["a"] == HALF[to].proto
