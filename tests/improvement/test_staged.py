"""A model run in parts gives what it gives as a whole."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import onnxq
from onnxq.improvement.capture import captured
from onnxq.improvement.staged import StagedRun
from tests.improvement.models import array, model, samples, two_convs
from tests.inserting import quantized

ASKED = (["a"], ["b", "y"])


def parts(proto, data, *, is_edited=True, budget=1 << 30, asked=ASKED):
    """What each sample gives, of all parts."""
    run = StagedRun(
        proto, data, [t for part in asked for t in part], is_edited=is_edited, budget=budget
    )
    return [list(run.values(part)) for part in asked]


@pytest.mark.parametrize("budget", [0, 1 << 30])
@pytest.mark.parametrize("is_edited", [False, True])
def test_parts_are_the_whole(tmp_path, is_edited, budget):
    proto, data = quantized(tmp_path, two_convs()), samples(3)
    first, second = parts(proto, data, is_edited=is_edited, budget=budget)
    for number, whole in enumerate(captured(proto, ["a", "b", "y"], data)):
        for name, values in {**first[number], **second[number]}.items():
            np.testing.assert_array_equal(values, whole[name])


def test_constants_change_between_parts():
    proto, data = two_convs(), samples(2)
    run = StagedRun(proto, data, ["a", "y"], is_edited=True)
    list(run.values(["a"]))
    constants = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    run.set_constants({"w1": 2 * constants["w1"]})
    doubled = list(run.values(["y"]))
    next(t for t in proto.graph.initializer if t.name == "w1").CopyFrom(
        numpy_helper.from_array(2 * constants["w1"], "w1")
    )
    for values, whole in zip(doubled, captured(proto, ["y"], data), strict=True):
        np.testing.assert_allclose(values["y"], whole["y"], rtol=1e-5)


def test_quantized_tensors_are_kept_instead_of_dequantized_ones(tmp_path):
    proto = quantized(tmp_path, two_convs())
    run = StagedRun(proto, samples(2), ["b", "y"], is_edited=False)
    list(run.values(["b"]))
    assert {array.dtype for array in run._kept[0].values()} == {np.dtype(np.float32)}
    run = StagedRun(proto, samples(2), ["b_dequantized", "y"], is_edited=True)
    list(run.values(["b_dequantized"]))
    assert {array.dtype for array in run._kept[0].values()} == {np.dtype(np.int8)}


def test_a_skip_over_a_part_is_kept():
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "a"),
        helper.make_node("Neg", ["a"], ["b"], "b"),
        helper.make_node("Add", ["b", "a"], ["c"], "c"),
        helper.make_node("Add", ["c", "x"], ["y"], "y"),
    ]
    proto = model(nodes, [array("unread", [1])], {"x": [1, 3]}, {"y": [1, 3]})
    data = samples(2, (1, 3))
    *_, last = parts(proto, data, asked=(["a"], ["b"], ["y"]))
    assert [v["y"].tolist() for v in last] == [s["x"].tolist() for s in data]


def test_constant_nodes_change_too():
    value = numpy_helper.from_array(np.ones(3, np.float32))
    nodes = [
        helper.make_node("Constant", [], ["c"], value=value),
        helper.make_node("Add", ["x", "c"], ["y"], "y"),
    ]
    run = StagedRun(
        model(nodes, [], {"x": [3]}, {"y": [3]}), samples(1, (3,)), ["y"], is_edited=True
    )
    run.set_constants({"c": np.zeros(3, np.float32)})
    (values,) = run.values(["y"])
    np.testing.assert_array_equal(values["y"], samples(1, (3,))[0]["x"])


def test_bodies_read_what_is_around_them():
    proto = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2] x, bool c) => (float[2] y) {
          a = Neg(x)
          b = Exp(x)
          y = If(c) <
            then_branch = then () => (t) { t = Relu(a) },
            else_branch = other () => (e) { e = Identity(b) }
          >
        }
        """
    )
    data = [{"x": np.float32([1, -2]), "c": np.array(True)}]
    *_, last = parts(proto, data, asked=(["a"], ["b"], ["y"]))
    np.testing.assert_array_equal(last[0]["y"], [0, 2])


def test_no_samples_give_nothing():
    assert parts(two_convs(), []) == [[], []]


def test_quantized_tensors_that_numpy_cannot_hold_are_computed_again():
    recipe = onnxq.Recipe.from_yaml(
        "schema: 1\nrules: [{id: fp8, why: t, match: {op: Conv}, quantize: "
        "{inputs: {dtype: fp8e4m3, amax: 2}, weights: {dtype: fp8e4m3}}}]"
    )
    data = samples(2)
    proto = onnxq.insert(two_convs(), recipe).proto
    *_, last = parts(proto, data, asked=(["a"], ["y"]))
    whole = captured(proto, ["y"], data)
    for value, expected in zip(last, whole, strict=True):
        np.testing.assert_allclose(value["y"], expected["y"], rtol=1e-5, atol=1e-5)
