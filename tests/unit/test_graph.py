import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser

from onnxq.model import node_inputs, ops
from onnxq.model.graph import Edge, Graph
from onnxq.model.observed import observable
from onnxq.model.preparing import name_nodes
from tests.onnx_text import graph, model

TEXT = """
g (float["N",3,8,8] x, float[1] unused) => (float y) <float[4,3,1,1] w> {
    k = Constant <value_float = 2.0> ()
    s = Constant <value_ints = [1, -1]> ()
    [conv] a = Conv (x, w)
    [mul] b = Mul (a, k)
    [reshape] c = Reshape (b, s)
    [add] y = Add (c, c)
}
"""
GRAPH = graph(TEXT)


def test_inputs_and_outputs():
    assert GRAPH.inputs == ("x", "unused")
    assert GRAPH.outputs == ("y",)


def test_producers_and_consumers():
    assert GRAPH.producer("a").name == "conv"
    assert GRAPH.producer("x") is None
    assert GRAPH.producer("w") is None
    assert GRAPH.consumers("c") == (Edge(node="add", slot=0), Edge(node="add", slot=1))
    assert GRAPH.consumers("y") == ()
    assert GRAPH.tensor(Edge(node="conv", slot=1)) == "w"


def test_constants_are_initializers_and_constant_nodes():
    assert [t for t in "xwksaby" if GRAPH.is_constant(t)] == ["w", "k", "s"]
    assert GRAPH.array("k") == np.float32(2)
    np.testing.assert_array_equal(GRAPH.array("s"), [1, -1])
    assert GRAPH.type("s").dtype == onnx.TensorProto.INT64


def test_types():
    assert GRAPH.type("a").shape == ("N", 4, 8, 8)
    assert GRAPH.type("w").shape == (4, 3, 1, 1)
    assert GRAPH.type("w").may_be_float
    assert not GRAPH.type("s").may_be_float
    assert GRAPH.type("nothing").shape is None


def test_given_shapes_reach_inner_tensors():
    shaped = Graph(name_nodes(model(TEXT)), shapes={"x": (5, 3, 8, 8)})
    assert shaped.type("a").shape == (5, 4, 8, 8)
    assert shaped.declared["x"].shape == ("N", 3, 8, 8)


def test_wrong_annotations_are_no_end():
    proto = name_nodes(model(TEXT))
    proto.graph.value_info.append(helper.make_tensor_value_info("a", 1, [9]))
    assert Graph(proto).type("w").shape == (4, 3, 1, 1)


@pytest.mark.parametrize(
    ("body", "known"),
    [
        ("a = com.example.Unknown (x) y = Relu (a)", None),  # an op that onnx does not know
        ("a = Transpose <perm = [7, 9]> (x) y = Relu (a)", None),
        ("a = Conv (x) y = Relu (a)", None),
        ("a = MatMul (x, w) y = Relu (a)", None),
        ("a = Relu (x) y = Relu (a)", ("N", 4, 8, 8)),
    ],
)
def test_onnx_goes_on_behind_an_op_without_its_shape(body, known):
    head = '<ir_version: 8, opset_import: ["" : 17, "com.example" : 1]>'
    text = f'{head} g (float["N",4,8,8] x) => (float y) <float[5,6] w> {{ {body} }}'
    view = Graph(name_nodes(parser.parse_model(text)))
    assert view.type("a").shape == known
    assert view.shape_inference_problem == ""


def bad_model(damage):
    text = """
    <ir_version: 8, opset_import: ["" : 17, "mine" : 1]>
    g (float[1,4] x) => (float[1,4] y) <int64[2] c = {1,4}> { a = Reshape (x, c) y = mine.f (a) }
    <domain: "mine", opset_import: ["" : 17, "mine" : 1]> f (i) => (o) { o = Relu (i) }
    """
    proto = name_nodes(parser.parse_model(text))
    damage(proto)
    return proto


def without_opset(proto):
    del proto.opset_import[:]


def with_recursion(proto):
    proto.functions[0].node[0].CopyFrom(proto.graph.node[1])


def with_a_type_that_is_none(proto):
    proto.graph.initializer[0].data_type = 99


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (without_opset, "No opset import for domain"),
        (with_recursion, "Cycle detected"),
        (with_a_type_that_is_none, "Invalid tensor data type 99"),
    ],
)
def test_the_reason_is_kept_where_onnx_infers_nothing(damage, told):
    view = Graph(bad_model(damage))
    assert told in view.shape_inference_problem
    assert "\n" not in view.shape_inference_problem
    assert view.type("x").shape == (1, 4)
    assert view.type("a").shape is None


def test_other_exceptions_are_not_hidden(monkeypatch):
    def broken(*_, **__):
        raise KeyError("a fault in onnxq")

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", broken)
    with pytest.raises(KeyError):
        Graph(name_nodes(model(TEXT)))


def test_initializers_listed_as_inputs_are_constants():
    proto = model(TEXT)
    proto.graph.input.append(helper.make_tensor_value_info("w", 1, [4, 3, 1, 1]))
    assert Graph(name_nodes(proto)).inputs == ("x", "unused")


def test_equal_digests_are_equal_graphs():
    one, other = (Graph(name_nodes(model(TEXT)), digest=d) for d in "ab")
    assert one != other
    assert one == Graph(name_nodes(model(TEXT)), digest="a")
    assert len({one, other}) == 2


def test_names_do_not_depend_on_the_order_of_nodes():
    text = """
    g (float[1] x) => (float y, float z) {
        y = Relu (x)
        z = Relu (x)
    }
    """
    forward, backward = model(text), model(text)
    nodes = list(backward.graph.node)
    del backward.graph.node[:]
    backward.graph.node.extend(reversed(nodes))
    names = [{n.output[0]: n.name for n in name_nodes(m).graph.node} for m in (forward, backward)]
    assert names[0] == names[1] == {"y": "Relu_y", "z": "Relu_z"}


def test_invented_names_avoid_those_taken():
    proto = model("g (float[1] x) => (float y) { [Relu_y] a = Relu (x)  y = Relu (a) }")
    assert [n.name for n in name_nodes(proto).graph.node] == ["Relu_y", "Relu_y_1"]


def one(text):
    view = graph(text)
    return view, view.nodes[-1]


@pytest.mark.parametrize(
    ("call", "shape", "axis"),
    [
        ("Conv (x, w)", "8,4,3,3", 0),
        ("ConvTranspose (x, w)", "4,8,3,3", 1),
        ("Gemm (x, w)", "4,8", 1),
        ("Gemm <transB = 1> (x, w)", "8,4", 0),
        ("MatMul (x, w)", "4,8", 1),
        ("MatMul (x, w)", "3,4,8", 2),
        ("MatMul (x, w)", "4", None),
        ("Add (x, w)", "4", None),
        ('Einsum <equation = "ab,bc->ac"> (x, w)', "4,8", 1),
        ('Einsum <equation = "ab,cb"> (x, w)', "8,4", 0),
        ('Einsum <equation = "...b,...bc->...c"> (x, w)', "3,4,8", 2),
        ('Einsum <equation = "ab,bcd->acd"> (x, w)', "4,2,8", None),
        ('Einsum <equation = "ab,b->a"> (x, w)', "4", None),
        ('Einsum <equation = "ab,ab->ab"> (x, w)', "1,4", None),
    ],
)
def test_channel_axis(call, shape, axis):
    view, node = one(f"g (float[1,4] x) => (float y) <float[{shape}] w> {{ y = {call} }}")
    assert node_inputs.channel_axis(view, node, 1) == axis


def test_weights_and_activations():
    view, node = one(
        "g (float[1,4] x) => (float y) <float[4,4] w, float[4] c> { y = Gemm (x, w, c) }"
    )
    assert node_inputs.activation_slots(view, node) == (0,)
    assert node_inputs.weight_slots(view, node) == (1,)
    assert node_inputs.data_slots(view, node) == (0, 1)


def test_two_activations():
    view, node = one("g (float[4,4] x) => (float y) { y = MatMul (x, x) }")
    assert node_inputs.activation_slots(view, node) == (0, 1)
    assert observable(view) == ("x",)


def test_an_op_that_the_table_does_not_know_has_data_everywhere():
    view, node = one("g (float[4] x, int64[1] i) => (float y) { y = ScatterElements (x, i, x) }")
    assert node_inputs.data_slots(view, node) == (0, 2)


@pytest.mark.parametrize(
    ("kind", "slots"), [("float", (0, 1)), ("float16", (0, 1)), ("bfloat16", ()), ("double", ())]
)
def test_only_float32_and_float16_are_data(kind, slots):
    view, node = one(f"g ({kind}[4,4] x) => ({kind} y) {{ y = MatMul (x, x) }}")
    assert node_inputs.data_slots(view, node) == slots
    assert observable(view) == (("x",) if slots else ())


def test_every_op_of_the_table_is_one_of_onnx():
    from onnx import defs

    for name in ops.TRAITS:
        assert "::" in name or defs.has(name), name


def test_float_attributes_read_as_they_were_written():
    _, node = one("g (float[4] x) => (float y) { y = LeakyRelu <alpha = 0.1> (x) }")
    assert node.attributes["alpha"] == 0.1


def test_large_constants_keep_their_values():
    proto = model(TEXT)
    w = numpy_helper.to_array(proto.graph.initializer[0])
    np.testing.assert_array_equal(Graph(name_nodes(proto)).array("w"), w)
