"""Rows of weights times rows of inputs are what onnxruntime computes."""

import numpy as np
import pytest
from onnx import helper

from onnxq.improvement.weights.patches import product
from onnxq.model.graph import Graph
from tests.improvement.models import array, model
from tests.inserting import computed

EVERYWHERE = 1 << 30
CONVS = {
    "plain": ((4, 3, 3, 3), {}, (2, 3, 7, 8)),
    "strides": ((4, 3, 3, 2), {"strides": [2, 3], "pads": [1, 0, 2, 1]}, (1, 3, 9, 8)),
    "dilations": ((4, 3, 3, 3), {"dilations": [2, 1], "pads": [2, 1, 2, 1]}, (1, 3, 7, 8)),
    "groups": ((6, 2, 3, 3), {"group": 3}, (2, 6, 5, 5)),
    "depthwise": ((5, 1, 3, 3), {"group": 5, "pads": [1, 1, 1, 1]}, (1, 5, 5, 5)),
    "one-dimensional": ((4, 3, 3), {"strides": [2]}, (1, 3, 9)),
    "three-dimensional": ((2, 3, 2, 2, 2), {}, (1, 3, 3, 4, 3)),
    "same-upper": ((4, 3, 4, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (1, 3, 7, 8)),
    "same-lower": ((4, 3, 4, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, (1, 3, 7, 8)),
    "valid": ((4, 3, 3, 3), {"auto_pad": "VALID"}, (1, 3, 7, 8)),
}
TRANSPOSED = {
    "plain": ((3, 4, 3, 3), {}, (2, 3, 4, 5)),
    "strides": ((3, 4, 2, 2), {"strides": [2, 2]}, (1, 3, 4, 5)),
    "pads": ((3, 4, 3, 3), {"strides": [2, 2], "pads": [1, 0, 1, 2]}, (1, 3, 4, 5)),
    "cut": ((3, 4, 1, 2), {"pads": [1, 2, 1, 2]}, (1, 3, 5, 7)),
    "added": ((3, 4, 3, 3), {"strides": [3, 2], "output_padding": [2, 1]}, (1, 3, 4, 5)),
    "groups": ((6, 2, 3, 3), {"group": 3, "dilations": [2, 1]}, (1, 6, 4, 5)),
}


def both(op, shape, attributes, *inputs):
    """The output that rows give at every position, and that of onnxruntime, channels last."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=shape).astype(np.float32)
    x = rng.normal(size=inputs).astype(np.float32)
    node = helper.make_node(op, ["x", "w"], ["y"], "op", **attributes)
    rank = len(inputs)
    proto = model([node], [array("w", weight)], {"x": list(inputs)}, {"y": [None] * rank})
    graph = Graph(proto)
    form = product(graph, graph.by_name["op"])
    np.testing.assert_array_equal(form.weight(form.rows(weight)), weight)
    rows = form.inputs(x, EVERYWHERE, rng)
    mine = np.einsum("goi,pgi->pgo", form.rows(weight), rows)
    theirs = computed(proto, x=x)[0]
    if "Conv" in op:
        theirs = np.moveaxis(theirs, 1, -1)
    return mine.reshape(theirs.shape), theirs


@pytest.mark.parametrize("name", CONVS)
def test_conv(name):
    shape, attributes, inputs = CONVS[name]
    np.testing.assert_allclose(*both("Conv", shape, attributes, *inputs), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", TRANSPOSED)
def test_conv_transpose(name):
    shape, attributes, inputs = TRANSPOSED[name]
    mine, theirs = both("ConvTranspose", shape, attributes, *inputs)
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("op", "shape", "attributes", "inputs"),
    [
        ("MatMul", (5, 3), {}, (2, 4, 5)),
        ("Gemm", (5, 3), {}, (4, 5)),
        ("Gemm", (3, 5), {"transB": 1}, (4, 5)),
        ("Gemm", (5, 3), {"transA": 1}, (5, 4)),
    ],
)
def test_matrices(op, shape, attributes, inputs):
    np.testing.assert_allclose(*both(op, shape, attributes, *inputs), rtol=1e-4, atol=1e-4)


def test_drawn_positions_are_some_of_all():
    weight = array("w", np.ones((2, 3, 3, 3)))
    node = helper.make_node("Conv", ["x", "w"], ["y"], "op")
    graph = Graph(model([node], [weight], {"x": [1, 3, 9, 9]}, {"y": [1, 2, 7, 7]}))
    form = product(graph, graph.by_name["op"])
    x = np.random.default_rng(1).normal(size=(1, 3, 9, 9)).astype(np.float32)
    few = form.inputs(x, 10, np.random.default_rng(2))
    every = {row.tobytes() for row in form.inputs(x, EVERYWHERE, np.random.default_rng(2))}
    assert few.shape == (10, 1, 27)
    assert {row.tobytes() for row in few} < every
