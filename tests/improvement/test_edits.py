"""Edits change numbers by name, in the type of the old, and nothing else."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxq.improvement.edits import Edits, edited
from tests.improvement.models import array, model, two_convs


def constants(proto):
    return {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}


def test_constants_are_replaced_and_the_model_stays():
    proto = two_convs()
    before = proto.SerializeToString()
    new = np.full((4,), 2.5)
    after = edited(proto, Edits(constants={"bias2": new}))
    assert proto.SerializeToString() == before
    changed = {n for n, a in constants(after).items() if not np.array_equal(a, constants(proto)[n])}
    assert changed == {"bias2"}
    assert constants(after)["bias2"].dtype == np.float32


def test_a_constant_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="'bias2' has shape \\[4\\], not \\[5\\]"):
        edited(two_convs(), Edits(constants={"bias2": np.zeros(5)}))


def test_the_value_of_a_constant_node_is_replaced():
    value = numpy_helper.from_array(np.ones(3, np.float32))
    nodes = [
        helper.make_node("Constant", [], ["c"], value=value),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    proto = edited(model(nodes, [], {"x": [3]}, {"y": [3]}), Edits(constants={"c": np.arange(3.0)}))
    assert numpy_helper.to_array(proto.graph.node[0].attribute[0].t).tolist() == [0, 1, 2]


def test_half_precision_stays():
    proto = two_convs()
    for tensor in proto.graph.initializer:
        tensor.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name)
        )
    after = edited(proto, Edits(constants={"bias2": np.ones(4)}, biases={"first": np.ones(8)}))
    assert {a.dtype for a in constants(after).values()} == {np.dtype(np.float16)}


def test_a_new_bias_gets_a_free_name():
    proto = two_convs()
    proto.graph.initializer.append(array("w1_bias", np.zeros(1)))
    after = edited(proto, Edits(biases={"first": np.arange(8)}))
    onnx.checker.check_model(after, full_check=True)
    assert list(after.graph.node[0].input) == ["x", "w1", "w1_bias_2"]
    assert constants(after)["w1_bias_2"].tolist() == list(range(8))


def test_a_new_bias_may_be_changed_by_later_edits():
    proto, new = two_convs(), Edits(biases={"first": np.zeros(8)})
    later = Edits(constants={"w1_bias": np.ones(8)})
    after = edited(proto, new.then(later))
    assert after == edited(edited(proto, new), later)
    assert constants(after)["w1_bias"].tolist() == [1] * 8


def test_a_node_with_a_bias_gets_no_second():
    with pytest.raises(ValueError, match="'second' has a bias already"):
        edited(two_convs(), Edits(biases={"second": np.zeros(4)}))
