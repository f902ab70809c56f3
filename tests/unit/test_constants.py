"""Weights that reach their op through other nodes."""

import numpy as np
import pytest

from onnxq.model import node_inputs
from onnxq.model.graph import Graph
from onnxq.model.preparing import prepare
from tests.inserting import computed, quantized
from tests.onnx_text import model

WEIGHT = "float[2,3] w = {1, 2, 3, 4, 5, 60}"
WAYS = {
    "Transpose": ("wt = Transpose (w)", [[1, 4], [2, 5], [3, 60]]),
    "Identity, then Transpose": ("i = Identity (w) wt = Transpose (i)", [[1, 4], [2, 5], [3, 60]]),
    "Reshape": (
        "s = Constant <value = int64[2] {3, 2}> () wt = Reshape (w, s)",
        [[1, 2], [3, 4], [5, 60]],
    ),
    "Cast": ("h = Cast <to = 10> (w) f = Cast <to = 1> (h) wt = Transpose (f)", None),
}


def through(way):
    return model(f"g (float[1,3] x) => (float[1,2] y) <{WEIGHT}> {{ {way} y = MatMul (x, wt) }}")


@pytest.mark.parametrize("way", WAYS)
def test_a_computed_weight_is_a_weight(way):
    nodes, values = WAYS[way]
    graph = Graph(prepare(through(nodes)))
    (node,) = graph.nodes_of(frozenset({"MatMul"}))
    assert node_inputs.weight_slots(graph, node) == (1,)
    if values is not None:
        assert graph.array("wt").tolist() == values


@pytest.mark.parametrize("way", WAYS)
def test_a_computed_weight_is_stored_as_int8_and_its_nodes_go(tmp_path, way):
    float_model = through(WAYS[way][0])
    result = quantized(tmp_path, float_model)
    assert [n.op_type for n in result.graph.node] == [
        "QuantizeLinear", "DequantizeLinear", "DequantizeLinear", "MatMul",
    ]  # fmt: skip
    assert {t.name for t in result.graph.initializer} >= {"wt_quantized", "wt_scale"}
    assert "w" not in {t.name for t in result.graph.initializer}
    x = np.float32([[1, -1, 0.5]])
    expected, found = computed(float_model, x=x)[0], computed(result, x=x)[0]
    np.testing.assert_allclose(found, expected, atol=0.4)


def test_what_something_else_reads_stays(tmp_path):
    float_model = model(
        f"g (float[1,3] x) => (float[1,2] y, float[3,2] z) <{WEIGHT}>"
        " { wt = Transpose (w) y = MatMul (x, wt) z = Relu (wt) }"
    )
    result = quantized(tmp_path, float_model)
    assert "Transpose" in {n.op_type for n in result.graph.node}
    assert "w" in {t.name for t in result.graph.initializer}


def test_random_values_are_no_constants():
    graph = Graph(
        prepare(
            model("g (float[1,3] x) => (float[1,3] y) { r = RandomNormalLike (x) y = Add (x, r) }")
        )
    )
    assert not graph.is_constant("r")
