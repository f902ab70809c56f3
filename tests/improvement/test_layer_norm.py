"""layer-norm: outputs of normalizations are found in both forms, divided, and sums see nothing."""

import numpy as np
import pytest
from onnx import helper

import onnxq
from onnxq.improvement.channels.normalized import is_normalized
from onnxq.model.loading import load
from tests.improvement.models import array, model
from tests.improvement.test_equalization import noise, only

WIDTH = 16


def small_ops():
    """The chain that exporters write below opset 17."""
    return [
        helper.make_node("ReduceMean", ["x"], ["mean"], "mean", axes=[-1]),
        helper.make_node("Sub", ["x", "mean"], ["less"], "less"),
        helper.make_node("Mul", ["less", "less"], ["square"], "square"),
        helper.make_node("ReduceMean", ["square"], ["power"], "power", axes=[-1]),
        helper.make_node("Sqrt", ["power"], ["deviation"], "deviation"),
        helper.make_node("Div", ["less", "deviation"], ["unit"], "unit"),
        helper.make_node("Mul", ["unit", "gamma"], ["scaled"], "scaled"),
        helper.make_node("Add", ["scaled", "beta"], ["n"], "shifted"),
    ]


def one_op():
    return [helper.make_node("LayerNormalization", ["x", "gamma", "beta"], ["n"], "norm")]


def post_norm(normalization):
    """A normalization whose channels differ much; a product and a sum read it, as in BERT."""
    rng = np.random.default_rng(0)
    spread = np.exp(rng.normal(size=WIDTH) * 1.5)
    weights = [
        array("gamma", spread),
        array("beta", rng.normal(size=WIDTH) * spread),
        array("w", rng.normal(size=(WIDTH, WIDTH)) / spread[:, None]),
    ]
    nodes = [
        *normalization(),
        helper.make_node("MatMul", ["n", "w"], ["p"], "product"),
        helper.make_node("Add", ["p", "n"], ["z"], "residual"),
    ]
    shape = [None, 8, WIDTH]
    return model(nodes, weights, {"x": shape}, {"z": shape, "p": shape})


def rows(count, seed, batch=1):
    rng = np.random.default_rng(seed)
    return [{"x": rng.normal(size=(batch, 8, WIDTH)).astype(np.float32)} for _ in range(count)]


@pytest.mark.parametrize("normalization", [one_op, small_ops])
def test_it_gains_in_front_of_the_pair_alone(normalization):
    proto = post_norm(normalization)
    assert is_normalized(load(proto).graph, "n")
    data, judged = rows(16, 1), rows(16, 2, batch=3)
    statistics = onnxq.calibrate(proto, data)
    improvement = onnxq.improve(proto, data, statistics=statistics, **only("layer-norm"))
    assert [tensor for tensor, _, _ in improvement.divisors] == ["n"]
    assert set(improvement.constants) == {"w"}
    plain = onnxq.insert(proto, statistics=statistics).proto
    result = onnxq.insert(proto, statistics=statistics, improvement=improvement).proto
    assert noise(proto, plain, judged) > 4 * noise(proto, result, judged)


def test_equalize_leaves_normalized_tensors_alone():
    improvement = onnxq.improve(post_norm(one_op), rows(16, 1), **only("equalize"))
    assert not improvement.divisors


def test_a_pair_has_one_divisor_whichever_improvers_run():
    """What is written is what was judged: a second divisor would be lost on the way to a file."""
    proto, data = post_norm(one_op), rows(16, 1)
    statistics = onnxq.calibrate(proto, data)
    both = onnxq.improve(proto, data, statistics=statistics, **only("layer-norm", "equalize"))
    assert [step.name for step in both.steps] == ["layer-norm", "equalize"]
    assert [tensor for tensor, _, _ in both.divisors] == ["n"]
    plain = onnxq.insert(proto, statistics=statistics).proto
    result = onnxq.insert(proto, statistics=statistics, improvement=both).proto
    judged = rows(16, 2)
    assert noise(proto, plain, judged) > 4 * noise(proto, result, judged)


@pytest.mark.parametrize("tensor", ["x", "mean", "unit", "scaled", "p", "z"])
def test_other_tensors_are_not_normalized(tensor):
    assert not is_normalized(load(post_norm(small_ops)).graph, tensor)
