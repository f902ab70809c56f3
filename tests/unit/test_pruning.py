import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxq.model import weights
from onnxq.model.pruning import keep_outputs
from tests.inserting import computed
from tests.onnx_text import model

TWO_ENDS = """
<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
g (float[2,4] x, bool c) => (float[2,4] left, float[2,4] right, float[2,4] last)
<float[4,4] w, float[4,4] v, float[2,4] inside> {
    [shared] s = Relu (x)
    [by_w] a = MatMul (s, w)
    [custom] left = com.microsoft.Gelu (a)
    [by_v] b = MatMul (s, v)
    [choice] right = If (c) <
        then_branch = yes () => (float[2,4] p) { q = Add (b, inside) p = Neg (q) },
        else_branch = no () => (float[2,4] r) { r = Abs (b) }
    >
    [end] last = Neg (left)
}
"""
X = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)


def two_ends():
    proto = model(TWO_ENDS)
    for index, node in enumerate(proto.graph.node):
        node.doc_string = f"node {index}"
        node.metadata_props.add(key="index", value=str(index))
    for tensor in proto.graph.initializer:
        tensor.doc_string = f"about {tensor.name}"
    for name in ("s", "a", "b"):
        proto.graph.value_info.append(helper.make_tensor_value_info(name, 1, [2, 4]))
    proto.doc_string = "about the model"
    return proto


def kept(proto, *outputs):
    """A copy of the model with only these outputs, which must be valid."""
    part = onnx.ModelProto()
    part.CopyFrom(proto)
    keep_outputs(part.graph, outputs)
    onnx.checker.check_model(weights.as_inputs(part), full_check=True)
    return part


def names(values):
    return [value.name for value in values]


@pytest.mark.parametrize(
    ("output", "nodes", "stored", "typed"),
    [
        ("left", ["shared", "by_w", "custom"], ["w"], ["s", "a"]),
        ("right", ["shared", "by_v", "choice"], ["v", "inside"], ["s", "b"]),
        ("last", ["shared", "by_w", "custom", "end"], ["w"], ["s", "a"]),
    ],
)
def test_the_part_that_an_output_needs(output, nodes, stored, typed):
    proto = two_ends()
    part = kept(proto, output)
    assert names(part.graph.node) == nodes
    assert names(part.graph.initializer) == stored
    assert names(part.graph.value_info) == typed
    assert names(part.graph.output) == [output]
    assert list(part.graph.input) == list(proto.graph.input)
    feed = {"x": X, "c": np.array(True)}
    whole = dict(zip(names(proto.graph.output), computed(proto, **feed), strict=True))
    np.testing.assert_array_equal(computed(part, **feed)[0], whole[output])


def test_everything_that_stays_is_byte_for_byte_the_same():
    proto = two_ends()
    part = kept(proto, "right")
    assert part.doc_string == "about the model"
    for field in ("node", "initializer", "value_info", "output"):
        before = {v.name: v.SerializeToString() for v in getattr(proto.graph, field)}
        for value in getattr(part.graph, field):
            assert value.SerializeToString() == before[value.name]


def test_all_outputs_need_all():
    proto = two_ends()
    assert kept(proto, "left", "right", "last") == proto


def test_nodes_in_any_order():
    proto = two_ends()
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend(reversed(nodes))
    keep_outputs(proto.graph, ["left"])
    assert names(proto.graph.node) == ["custom", "by_w", "shared"]


def test_a_stored_weight_that_is_listed_as_an_input_goes_as_both():
    proto = two_ends()
    proto.ir_version = 3
    for name in ("w", "v", "inside"):
        shape = [2, 4] if name == "inside" else [4, 4]
        proto.graph.input.append(helper.make_tensor_value_info(name, 1, shape))
    part = kept(proto, "last")
    assert names(part.graph.input) == ["x", "c", "w"]
    assert names(part.graph.initializer) == ["w"]


def test_a_weight_stays_in_its_file(tmp_path):
    proto = model("g (float[2,64] x) => (float[2,64] y, float[2,64] z) <float[64,64] w> {"
                  " y = MatMul (x, w) z = Relu (x) }")  # fmt: skip
    (stored,) = proto.graph.initializer
    values = numpy_helper.to_array(stored)
    (tmp_path / "w").write_bytes(values.tobytes())
    weights.refer(stored, weights.Place(file=tmp_path / "w", offset=0, length=values.nbytes))
    (still,) = kept(proto, "y").graph.initializer
    assert weights.place(still) == weights.place(stored)
    np.testing.assert_array_equal(weights.array(still), values)
    assert not kept(proto, "z").graph.initializer


def test_values_of_optional_and_sparse_type():
    text = (
        "g (float[2,4] x, bool c) => (float[2,4] y, float[2,4] u) <float[4,4] w> {"
        " o = If (c) <then_branch = t () => (optional(float[2,4]) p) { p = Optional(x) },"
        " else_branch = e () => (optional(float[2,4]) q) { a = Neg(x) q = Optional(a) }>"
        " z = OptionalGetElement(o) y = MatMul(z, w) u = Relu(x) }"
    )
    proto = model(text, opset=18)
    sparse = onnx.SparseTensorProto(
        values=numpy_helper.from_array(np.float32([1]), "nobody"),
        indices=numpy_helper.from_array(np.int64([0])),
        dims=[4],
    )
    proto.graph.sparse_initializer.append(sparse)
    part = kept(proto, "y")
    assert [n.op_type for n in part.graph.node] == ["If", "OptionalGetElement", "MatMul"]
    assert part.graph.node[0] == proto.graph.node[0]
    assert not part.graph.sparse_initializer
