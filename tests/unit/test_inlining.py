"""Local functions are inlined: the same outputs to the bit, and nothing else is touched."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, defs, helper, numpy_helper, parser

import onnxq
from onnxq.diagnostics import OnnxqError
from onnxq.insertion.preparation import compare_raised
from onnxq.model import inlining
from onnxq.model.graph import Graph
from onnxq.model.inlining import inline_functions
from onnxq.model.ops import TRAITS
from onnxq.model.preparing import prepare
from onnxq.model.strip import strip
from tests.inserting import computed, quantized
from tests.onnx_text import model


@pytest.fixture(autouse=True)
def every_op_is_worth_it(request, monkeypatch):
    """Let functions of any op be inlined, so that cases can be short."""
    if "real_worth" not in request.fixturenames:
        ops = {schema.name for schema in defs.get_all_schemas()}
        monkeypatch.setattr(inlining, "WORTH", inlining.WORTH | ops | {"com.microsoft::QuickGelu"})


X = np.random.default_rng(3).uniform(-2, 2, (1, 3, 6, 6)).astype(np.float32)
HEAD = '<ir_version: 10, opset_import: ["" : 17, "mine" : 1]>'
PORTS = "g (float[1,3,6,6] x) => (float[1,3,6,6] y)"
MINE = '<domain: "mine", opset_import: ["" : 17, "mine" : 1]>'
BLOCK = f"{MINE} block (i, k) => (o) {{ [conv] t = Conv (i, k) [act] o = Relu (t) }}"

CASES = {
    "called twice": (
        f"{HEAD} {PORTS} <float[3,3,1,1] v, float[3,3,1,1] w>"
        f" {{ a = mine.block (x, v) y = mine.block (a, w) }} {BLOCK}"
    ),
    "nested": (
        f"{HEAD} {PORTS} <float[3,3,1,1] w> {{ a = mine.two (x, w) y = mine.two (a, w) }}"
        f" {MINE} two (i, k) => (o) {{ t = mine.block (i, k) o = mine.block (t, k) }} {BLOCK}"
    ),
    "attributes by reference and by default": (
        f"{HEAD} {PORTS} {{ a = mine.f <alpha = 0.3> (x) b = mine.f (a) y = mine.g (b) }}"
        f" {MINE} f <alpha: float = 0.7> (i) => (o)"
        " { o = LeakyRelu <alpha: float = @alpha> (i) }"
        f" {MINE} g (i) => (o) {{ t = mine.f (i) o = mine.f <alpha = 0.9> (t) }}"
    ),
    "defaults of where attributes are handed on to": (
        f"{HEAD} {PORTS} {{ a = mine.h (x) y = mine.h <gamma = 0.2> (a) }}"
        f" {MINE} f <alpha: float = 0.7> (i) => (o)"
        " { o = LeakyRelu <alpha: float = @alpha> (i) }"
        f" {MINE} g <beta> (i) => (o) {{ o = mine.f <alpha: float = @beta> (i) }}"
        f" {MINE} h <gamma> (i) => (o) {{ o = mine.g <beta: float = @gamma> (i) }}"
    ),
    "a domain that the model does not import": (
        f"{HEAD} {PORTS} {{ y = mine.f (x) }}"
        ' <domain: "mine", opset_import: ["" : 17, "com.microsoft" : 1]>'
        " f (i) => (o) { o = com.microsoft.QuickGelu <alpha = 1.5> (i) }"
    ),
    "an older opset with the same operators": (
        f"{HEAD} {PORTS} {{ y = mine.f (x) }}"
        ' <domain: "mine", opset_import: ["" : 14]> f (i) => (o) { o = Neg (i) }'
    ),
    "names that are taken": (
        f"{HEAD} {PORTS} <float t = {{2}}, float t__1 = {{3}}>"
        " { [f__1] a = mine.f (x) b = Add (a, t) y = Mul (b, t__1) }"
        f" {MINE} f (i) => (o) {{ [f] t = Neg (i) o = Exp (t) }}"
    ),
    "an absent input and an output that nobody reads": (
        f"{HEAD} {PORTS} {{ , y = mine.f (x) }}"
        f" {MINE} f (i, low) => (n, o) {{ n = Neg (i) o = Clip (i, low) }}"
    ),
    "overloads": (
        f"{HEAD} {PORTS} {{ a = mine.f:A (x) y = mine.f:B (a) }}"
        ' <domain: "mine", overload: "A", opset_import: ["" : 17]> f (i) => (o) { o = Neg (i) }'
        ' <domain: "mine", overload: "B", opset_import: ["" : 17]> f (i) => (o) { o = Exp (i) }'
    ),
    "called in a branch": (
        f"{HEAD} {PORTS} <bool c = {{1}}> {{ t = Neg (x) y = If (c) <"
        "then_branch = a () => (float[1,3,6,6] u) { u = mine.f (t) },"
        " else_branch = b () => (float[1,3,6,6] v) { v = mine.f (x) }> }"
        f" {MINE} f (i) => (o) {{ t = Exp (i) o = Neg (t) }}"
    ),
    "a branch inside": (
        f"{HEAD} {PORTS} <bool c = {{1}}> {{ a = mine.f (x, c) y = mine.f (a, c) }}"
        f" {MINE} f (i, c) => (o) {{ t = Exp (i) o = If (c) <then_branch = a ()"
        " => (float[1,3,6,6] u) { u = Neg (t) },"
        " else_branch = b () => (float[1,3,6,6] v) { v = Neg (i) }> }"
    ),
    "a function that nothing calls": (
        f"{HEAD} {PORTS} {{ y = Neg (x) }} {MINE} f (i) => (o) {{ o = Neg (i) }}"
    ),
}  # fmt: skip


def copied(proto):
    return onnx.ModelProto.FromString(proto.SerializeToString())


def all_names(graph):
    for node in graph.node:
        yield node.name
        for attribute in node.attribute:
            yield from all_names(attribute.g)


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_the_same_to_the_bit(name):
    before = model(CASES[name])
    after = prepare(copied(before))
    assert not after.functions
    onnx.checker.check_model(after)
    np.testing.assert_array_equal(computed(after, x=X)[0], computed(before, x=X)[0])
    assert compare_raised(copied(before), after, {}).outputs == "same"
    assert prepare(copied(before)) == after  # the same on every run
    graph = Graph(after)
    assert len(graph.by_name) == len(graph.nodes)
    rest = copied(after)
    for proto in (before, rest):
        del proto.graph.node[:], proto.functions[:], proto.opset_import[:]
    assert rest == before


def test_nodes_keep_what_is_said_of_them():
    proto = model(CASES["called twice"])
    for node in proto.functions[0].node:
        node.doc_string = f"doc of {node.name}"
        node.metadata_props.add(key="scope", value=node.name)
    nodes = inline_functions(proto).graph.node
    assert [n.name.partition("__")[0] for n in nodes] == ["conv", "act"] * 2
    for node in nodes:
        plain = node.name.partition("__")[0]
        assert node.doc_string == f"doc of {plain}"
        assert [(p.key, p.value) for p in node.metadata_props] == [("scope", plain)]


def test_ops_of_functions_are_quantized(tmp_path):
    proto = prepare(model(CASES["nested"]))
    result = quantized(tmp_path, proto)
    assert [n.op_type for n in result.graph.node].count("DequantizeLinear") == 5
    assert Graph(proto).hidden_ops == ()


def test_a_standard_operator_is_what_its_name_says():
    """onnxruntime computes its own Relu, whatever a function of that name says."""
    text = f'{HEAD} {PORTS} {{ y = Relu (x) }} <domain: "", opset_import: ["" : 17]>'
    before = model(f"{text} Relu (i) => (o) {{ o = Neg (i) }}")
    after = prepare(copied(before))
    assert list(after.functions) == list(before.functions)
    assert [n.op_type for n in after.graph.node] == ["Relu"]
    np.testing.assert_array_equal(computed(after, x=X)[0], computed(before, x=X)[0])
    assert compare_raised(copied(before), after, {}) is None


def test_a_function_for_other_versions_of_its_operators_stays():
    text = f'{HEAD} {PORTS} {{ y = mine.f (x) }} <domain: "mine", opset_import: ["" : 12]>'
    after = prepare(model(f"{text} f (i) => (o) {{ o = Relu (i) }}"))
    assert [f.name for f in after.functions] == ["f"]
    assert Graph(after).hidden_ops == ("Relu",)


def test_outputs_that_are_inputs_or_given_twice():
    """onnxruntime does not take such functions."""
    text = f"{HEAD} {PORTS} {{ a, b, c, d = mine.f (x) e = Sum (a, b, c, d) y = Neg (e) }}"
    after = prepare(model(f"{text} {MINE} f (i) => (i, o, i_0, i_0)"
                          " { o = Exp (i) i_0 = Neg (o) }"))  # fmt: skip
    onnx.checker.check_model(after)
    expected = -(X + np.exp(X) - 2 * np.exp(X))
    np.testing.assert_allclose(computed(after, x=X)[0], expected, rtol=1e-5)


def test_recursion():
    text = f"{HEAD} {PORTS} {{ y = mine.f (x) }} {MINE} f (i) => (o)"
    text += " { t = mine.f (i) o = Relu (t) }"
    proto = parser.parse_model(text)
    with pytest.raises(OnnxqError) as caught:
        prepare(proto, "m.onnx")
    assert [d.code for d in caught.value.diagnostics] == ["OQ561"]
    assert "mine::f -> mine::f" in str(caught.value)


def test_thirty_functions_that_call_the_next_one_twice(tmp_path):
    """They stand for a billion nodes, whatever is in the last."""
    calls = "".join(
        f" {MINE} f{i} (i) => (o) {{ t = mine.f{i + 1} (i) o = mine.f{i + 1} (t) }}"
        for i in range(30)
    )
    proto = model(
        f"{HEAD} {PORTS} {{ y = mine.f0 (x) }}{calls} {MINE} f30 (i) => (o) {{ o = Relu (i) }}"
    )
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(OnnxqError, match="1,073,741,824 nodes") as caught:
        onnxq.plan(tmp_path / "m.onnx")
    assert [d.code for d in caught.value.diagnostics] == ["OQ561"]


def test_an_old_model_is_inlined_and_then_raised():
    before = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 11, "mine" : 1]> g (float[1,3,6,6] x)'
        ' => (float[1,1,6,6] y) { y = mine.f (x) } <domain: "mine", opset_import: ["" : 11]>'
        " f (i) => (o) { o = ReduceSum <axes = [1]> (i) }"
    )
    after = prepare(copied(before))
    assert not after.functions
    found = compare_raised(before, after, {})
    told = "opset 11 raised to 13, for per-channel Q/DQ, 1 local function inlined"
    assert str(found) == f"{told}: outputs are the same"


def test_changed_outputs_are_told():
    before = model(CASES["called twice"])
    after = prepare(copied(before))
    after.graph.node[-1].op_type = "Neg"
    found = compare_raised(before, after, {})
    assert [d.code for d in found.diagnostics] == ["OQ535"]


def test_weights_are_neither_copied_nor_lost():
    proto = model(CASES["called twice"])
    large = numpy_helper.from_array(np.ones((64, 64), np.float32), "large")
    elsewhere = onnx.TensorProto(name="elsewhere", data_type=TensorProto.FLOAT, dims=[4, 4])
    elsewhere.data_location = TensorProto.EXTERNAL
    elsewhere.external_data.add(key="location", value="/nowhere/weights.bin")
    proto.graph.initializer.extend([large, elsewhere])
    before = copied(proto).graph.initializer
    assert inline_functions(proto) is proto
    assert list(proto.graph.initializer) == list(before)


def test_pairs_in_functions_are_stripped():
    text = (
        f"{HEAD} {PORTS} <float s = {{0.5}}, int8 z = {{0}}> {{ y = mine.pair (x, s, z) }}"
        f" {MINE} pair (i, s, z) => (o)"
        " { q = QuantizeLinear (i, s, z) d = DequantizeLinear (q, s, z) o = Relu (d) }"
    )
    found = strip(model(text))
    assert (found.activations, found.diagnostics) == (1, ())
    assert [n.op_type for n in found.model.graph.node] == ["Relu"]


def test_helper_functions_of_torch(tmp_path):
    """What torch's exporter writes with `keep` of its functions has the weights as arguments."""
    body = helper.make_function(
        "pkg.torch", "Linear", ["i", "w", "b"], ["o"],
        [
            helper.make_node("Transpose", ["w"], ["t"], name="t", perm=[1, 0]),
            helper.make_node("MatMul", ["i", "t"], ["m"], name="mm"),
            helper.make_node("Add", ["m", "b"], ["o"], name="add"),
        ],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    proto = model("g (float[2,4] x) => (float[2,3] y) <float[3,4] w, float[3] b>"
                  " { a = Identity (x) y = Identity (a) }")  # fmt: skip
    del proto.graph.node[:]
    proto.graph.node.append(
        helper.make_node("Linear", ["x", "w", "b"], ["y"], domain="pkg.torch", name="fc")
    )
    proto.functions.append(body)
    proto.opset_import.add(domain="pkg.torch", version=1)
    x = np.random.default_rng(0).uniform(-2, 2, (2, 4)).astype(np.float32)
    expected = computed(proto, x=x)[0]
    result = quantized(tmp_path, prepare(proto))
    assert [n.op_type for n in result.graph.node].count("DequantizeLinear") == 2
    np.testing.assert_allclose(computed(result, x=x)[0], expected, atol=0.1)


@pytest.fixture
def real_worth():
    """Inline what is inlined for users."""


def test_a_function_without_product_or_pair_is_an_op(real_worth):
    text = f"{HEAD} {PORTS} {{ y = mine.f (x) }} {MINE} f (i) => (o) {{ o = Relu (i) }}"
    assert [n.op_type for n in prepare(model(text)).graph.node] == ["f"]


def test_what_calls_a_product_is_looked_into(real_worth):
    assert not prepare(model(CASES["nested"])).functions


def test_every_product_is_worth_it():
    assert {op for op, row in TRAITS.items() if row.weighted} <= inlining.WORTH
