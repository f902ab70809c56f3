"""Streams: which tensors share factors that move into weights, and what stops them."""

import numpy as np
import pytest
from onnx import helper

import onnxq
from onnxq.improvement.channels.streams import stream
from onnxq.model.loading import load
from tests.improvement.models import array, model
from tests.improvement.test_equalization import inputs, noise, only
from tests.inserting import computed


def residual(*, between="Relu", outputs=("y",), channels=8):
    """Two Convs whose results are summed, with an activation on the way to what reads the sum."""
    rng = np.random.default_rng(0)
    spread = np.exp(rng.normal(size=(channels, 1, 1, 1)) * 1.5)
    weights = [
        array("w1", rng.normal(size=(channels, 3, 1, 1)) * spread),
        array("b1", rng.normal(size=channels)),
        array(
            "w2", rng.normal(size=(channels, channels, 1, 1)) * spread / spread.reshape(1, -1, 1, 1)
        ),
        array("w3", rng.normal(size=(4, channels, 3, 3)) / spread.reshape(1, -1, 1, 1)),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"], "first", kernel_shape=[1, 1]),
        helper.make_node("Conv", ["a", "w2"], ["b"], "second", kernel_shape=[1, 1]),
        helper.make_node("Add", ["b", "a"], ["c"], "sum"),
        helper.make_node(between, ["c"], ["d"], "between"),
        helper.make_node("Conv", ["d", "w3"], ["y"], "third", kernel_shape=[3, 3]),
    ]
    wide = [None, channels, 8, 8]
    shapes = {"y": [None, 4, 6, 6], "a": wide, "c": wide}
    return model(nodes, weights, {"x": [None, 3, 8, 8]}, {name: shapes[name] for name in outputs})


def of(proto, tensor="a"):
    return stream(load(proto).graph, tensor)


def test_a_sum_ties_what_it_reads_and_what_reads_it():
    found = of(residual())
    assert set(found.tensors) == {"a", "b", "c", "d"}
    assert set(found.makers) == {"w1", "b1", "w2"}
    assert {r.weight for r in found.readers} == {"w2", "w3"}
    assert found.nodes == {"first", "second", "third"}
    assert set(of(residual(), "d").tensors) == set(found.tensors)


@pytest.mark.parametrize("between", ["Sigmoid", "HardSwish", "Elu", "Exp"])
def test_an_activation_that_is_no_multiple_of_its_input_stops_it(between):
    assert of(residual(between=between)) is None


def test_an_output_of_the_graph_stops_it():
    assert of(residual(outputs=("y", "c"))) is None


def test_a_weight_that_another_node_reads_stops_it():
    proto = residual()
    proto.graph.node.append(helper.make_node("Neg", ["w3"], ["z"], "again"))
    proto.graph.output.append(helper.make_tensor_value_info("z", 1, [4, 8, 3, 3]))
    assert of(proto) is None


def test_an_input_of_the_graph_has_no_factors():
    assert of(residual(), "x") is None


def test_a_residual_block_gains_without_new_ops():
    """The sum reads the pair of the second Conv: nothing may stand in front of it."""
    proto = residual()
    data, judged = inputs(16, 1), inputs(16, 2, batch=2)
    statistics = onnxq.calibrate(proto, data)
    plain = onnxq.insert(proto, statistics=statistics).proto
    improvement = onnxq.improve(proto, data, statistics=statistics, **only("equalize"))
    assert "a" not in {tensor for tensor, _, _ in improvement.divisors}
    assert {"w1", "b1", "w2", "w3"} <= improvement.constants.keys()
    result = onnxq.insert(proto, statistics=statistics, improvement=improvement).proto
    assert noise(proto, plain, judged) > 4 * noise(proto, result, judged)
    sample = inputs(1, 3)[0]
    expected, got = computed(proto, **sample)[0], computed(result, **sample)[0]
    assert np.abs(got - expected).max() < 0.05 * np.abs(expected).max()
