"""Names that are unique over the bodies of If, Loop and Scan, and the view of them as one graph."""

import numpy as np
import onnx
import pytest

from onnxq.model.graph import Edge, Graph
from onnxq.model.preparing import prepare
from onnxq.model.scopes import defined, nodes, scopes
from tests.inserting import computed
from tests.onnx_text import graph, model

ALIKE = """
g (float[2,3] x, bool c, int64 n) => (float[2,3] y, float[2,3] z) <float[3,3] w> {
    [a] a = Relu (x)
    [if] y = If (c) <
        then_branch = t () => (float[2,3] out) { [a] b = MatMul (a, w) out = Neg (b) },
        else_branch = e () => (float[2,3] out) { [a] b = MatMul (x, w) out = Identity (b) }
    >
    z = Loop (n, , a) <body = l (int64 i, bool g, float[2,3] h) => (bool k, float[2,3] out) {
        k = Identity (g)
        b = MatMul (h, w)
        out = If (c) <
            then_branch = t () => (float[2,3] r) { r = Sigmoid (b) },
            else_branch = e () => (float[2,3] r) { r = Add (b, a) }
        >
    }>
}
"""


def test_every_name_is_given_once_and_nothing_else_changes():
    before = model(ALIKE)
    after = prepare(model(ALIKE))
    onnx.checker.check_model(after, full_check=True)
    values = [name for _, g in scopes(after.graph) for name in defined(g)]
    called = [n.name for _, n in nodes(after.graph)]
    assert len(set(values)) == len(values)
    assert all(called)
    assert len(set(called)) == len(called)
    assert [n.op_type for _, n in nodes(after.graph)] == [n.op_type for _, n in nodes(before.graph)]
    assert prepare(model(ALIKE)) == after
    x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    for taken in (True, False):
        feed = {"x": x, "c": np.array(taken), "n": np.array(3)}
        for one, other in zip(computed(before, **feed), computed(after, **feed), strict=True):
            np.testing.assert_array_equal(one, other)


def test_names_that_differ_stay():
    named = model(
        "g (float[2] x, bool c) => (float y) { [if] y = If (c) <then_branch = t () => (float[2] u)"
        " { [neg] u = Neg (x) }, else_branch = e () => (float[2] v) { [abs] v = Abs (x) }> }"
    )
    assert prepare(onnx.ModelProto.FromString(named.SerializeToString())) == named


def test_subgraphs_of_other_ops_stay():
    text = (
        '<ir_version: 8, opset_import: ["" : 17, "my" : 1]>'
        "g (float[2] x) => (float[2] y) { [op] y = my.Op (x) <body = b (float[2] x) => (float[2] y)"
        " { y = Neg (x) }> }"
    )
    assert prepare(model(text)) == model(text)
    assert Graph(model(text)).hidden_ops == ("Neg",)


def test_an_outer_value_that_a_body_renames_is_read_by_its_own_bodies():
    """ONNX forbids it, and runtimes take it."""
    hidden = model(ALIKE)
    loop = hidden.graph.node[2]
    body = loop.attribute[0].g
    body.input[2].name = "a"
    body.node[1].input[0] = "a"
    after = prepare(hidden)
    (carried,) = {body.input[2].name} - {"a"}
    (inner,) = (n for scope, n in nodes(after.graph) if n.op_type == "Add")
    assert inner.input[1] == carried
    assert Graph(after).by_name[inner.name].scope[0].startswith("Loop_z")


@pytest.fixture(scope="module")
def view():
    return graph(ALIKE)


def test_nodes_follow_the_one_whose_bodies_they_are_in(view):
    assert [(n.op, len(n.scope)) for n in view.nodes] == [
        ("Relu", 0), ("If", 0), ("MatMul", 1), ("Neg", 1), ("MatMul", 1), ("Identity", 1),
        ("Loop", 0), ("Identity", 1), ("MatMul", 1), ("If", 1), ("Sigmoid", 2), ("Add", 2),
    ]  # fmt: skip


def test_what_is_outside_is_seen_inside(view):
    products = [n for n in view.nodes if n.op == "MatMul"]
    assert all(view.is_constant(n.inputs[1]) for n in products)
    assert all(view.type(n.outputs[0]).shape == (2, 3) for n in products)
    relu = view.by_name["a"]
    assert view.consumers("a")[0] == Edge(node=products[0].name, slot=0)
    assert {n.op for n in view.successors[relu.name]} == {"MatMul", "Loop", "Add"}
    deepest = view.nodes[-1]
    assert [n.op for n in view.around(deepest)] == ["Loop", "If"]
    assert view.home("w") == view.home("a") == ()
    assert view.home(deepest.inputs[0]) == view.around(deepest)[1].scope


def test_bodies_feed_the_node_that_they_belong_to(view):
    loop = view.nodes[6]
    assert {n.op for n in view.predecessors[loop.name]} == {"Relu", "Identity", "If"}
    assert "MatMul" in {n.op for n in view.successors[loop.name]}
    assert {n.op for n in view.predecessors["if"]} == {"Neg", "Identity"}


def test_constants_are_folded_inside():
    folded = graph(
        "g (bool c, float[1,4] x) => (float y) <float[3,4] w> { y = If (c) <"
        " then_branch = t () => (float[1,3] u) { k = Transpose (w) u = MatMul (x, k) },"
        " else_branch = e () => (float[1,3] v) <float[1,3] s> { v = Neg (s) }> }"
    )
    assert folded.is_constant("k")
    np.testing.assert_array_equal(folded.array("k"), folded.array("w").T)
    assert folded.home("k") == folded.by_name["MatMul_u"].scope
