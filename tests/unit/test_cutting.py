"""A model cut in front of nodes: what is left, what is lost, and what stands for lost outputs."""

import onnx
import pytest
from onnx import parser

from onnxq.model.cutting import cut
from onnxq.model.preparing import name_nodes

HEAD = '<ir_version: 8, opset_import: ["" : 17, "my" : 1, "my.functions" : 1]>\n'


def model(text):
    return name_nodes(parser.parse_model(HEAD + text))


def without_mine(text):
    proto = model(text)
    before = proto.SerializeToString(deterministic=True)
    part = cut(proto, lambda node: node.domain == "my")
    assert proto.SerializeToString(deterministic=True) == before
    if part is not None:
        onnx.checker.check_model(part.model)
    return part


def outputs(part):
    return [o.name for o in part.model.graph.output]


def nodes(part):
    return [n.name for n in part.model.graph.node]


def test_a_model_with_nothing_unknown_is_whole():
    assert without_mine("g (float[4] x) => (float[4] y) { y = Relu (x) }") is None


def test_the_inputs_of_a_node_stand_for_what_is_behind_it():
    part = without_mine(
        """g (float[4] x) => (float[4] y, float[4] z) <float[4] w = {1, 2, 3, 4}> {
            a = Relu (x) b = Abs (x) [op] c, d = my.Op (a, b, w) y = Neg (c) z = Add (b, d)
        }"""
    )
    assert part.stand_ins == {"y": ("a", "b"), "z": ("b", "a")}
    assert outputs(part) == ["a", "b"]
    assert set(part.behind) == {"c", "d", "y", "z"}
    assert [str(c) for c in part.culprits] == ["Op 'op'"]
    assert not part.model.graph.initializer


def test_what_joins_behind_it_stands_too_and_what_is_beside_it_stays():
    part = without_mine(
        """g (float[4] x) => (float[4] y, float[4] beside) {
            a = Relu (x) skip = Abs (a) beside = Neg (skip) b = my.Op (a) y = Mul (skip, b)
        }"""
    )
    assert part.stand_ins == {"y": ("skip", "a")}
    assert outputs(part) == ["beside", "skip", "a"]


def test_an_output_of_the_graph_may_stand_for_another():
    part = without_mine("g (float[4] x) => (float[4] y, float[4] a) { a = Relu (x) y = my.Op (a) }")
    assert (outputs(part), part.stand_ins) == (["a"], {"y": ("a",)})


def test_inputs_and_constants_stand_for_nothing():
    part = without_mine(
        """g (float[4] x) => (float[4] y, float[4] z) <float[4] w = {1, 2, 3, 4}> {
            k = Relu (w) y = my.Op (x, k) z = Neg (x)
        }"""
    )
    assert (outputs(part), part.stand_ins) == (["z"], {"y": ()})
    assert [i.name for i in part.model.graph.input] == ["x"]


def test_sizes_stand_for_nothing_beside_floats():
    part = without_mine(
        """g (float[n] x) => (float[n] y) {
            size = Shape (x) a = Relu (x) b = my.Op (a) y = Reshape (b, size)
        }"""
    )
    assert part.stand_ins == {"y": ("a",)}


def test_an_input_that_only_lost_nodes_read_stays():
    part = without_mine(
        "g (float[4] x, float[4] s) => (float[4] y) { a = Relu (x) y = my.Op (a, s) }"
    )
    assert [i.name for i in part.model.graph.input] == ["x", "s"]


def test_each_lost_value_knows_what_it_is_behind():
    part = without_mine(
        """g (float[4] x) => (float[4] y, float[4] z) {
            a = Relu (x) [one] b = my.One (a) y = Neg (b) [two] c = my.Two (a) z = Abs (c)
        }"""
    )
    assert {name: c.node for name, c in part.behind.items()} == {
        "b": "one", "y": "one", "c": "two", "z": "two",
    }  # fmt: skip


BRANCHES = """g (float[4] x, bool t) => (float[4] y) {{
    a = Relu (x)
    [if] b = If (t) <
        then_branch = yes () => (float[4] p) {{ [in] p = {op} (a) }},
        else_branch = no () => (float[4] q) {{ q = Identity (a) }}
    >
    y = Neg (b)
}}"""


def test_a_node_in_a_body_takes_its_owner_along():
    part = without_mine(BRANCHES.format(op="my.Op"))
    assert [str(c) for c in part.culprits] == ["Op in If 'if'"]
    assert part.stand_ins == {"y": ("a",)}
    assert {"p", "q", "b", "y"} <= part.behind.keys()
    assert without_mine(BRANCHES.format(op="Neg")) is None


FUNCTION = """
<domain: "my.functions", opset_import: ["" : 17, "my" : 1]>
Body (u) => (v) {{ v = {op} (u) }}
"""


@pytest.mark.parametrize(("op", "lost"), [("my.Op", True), ("Neg", False)])
def test_a_node_in_a_function_takes_the_call_along(op, lost):
    text = "g (float[4] x) => (float[4] y) { a = Relu (x) [call] y = my.functions.Body (a) }"
    part = cut(model(text + FUNCTION.format(op=op)), lambda node: node.domain == "my")
    assert (part is not None) == lost
    if lost:
        assert [str(c) for c in part.culprits] == ["Op in Body 'call'"]


def test_nodes_in_any_order():
    proto = model(
        "g (float[4] x) => (float[4] y) { a = Relu (x) b = my.Op (a) c = Abs (b) y = Neg (c) }"
    )
    backward = list(proto.graph.node)[::-1]
    del proto.graph.node[:]
    proto.graph.node.extend(backward)
    part = cut(proto, lambda node: node.domain == "my")
    assert (outputs(part), part.stand_ins) == (["a"], {"y": ("a",)})
    assert [n.op_type for n in part.model.graph.node] == ["Relu"]
