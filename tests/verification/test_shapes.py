"""Sizes of tensors from shape inference, and from a run in onnxruntime where that gives up."""

import pytest
from onnx import parser

from onnxq.model.graph import Graph
from onnxq.verification.shapes import Shapes

HEAD = '<ir_version: 8, opset_import: ["" : 17, "com.example" : 1]>'


def shapes(body):
    text = f"{HEAD} g (float['N',4] x) => (float y) <int64 two = {{2}}> {{ {body} }}"
    model = parser.parse_model(text.replace("'", '"'))
    observed = Shapes(model, Graph(model), {"x": (3, 4)})
    observed.observe(["a", "y"])
    return observed


def test_a_size_that_is_inferred():
    assert shapes("a = Relu (x) y = Relu (a)").sizes("a") == (3, 4)


def test_a_size_that_depends_on_values_is_that_of_a_run():
    body = "e = Equal (x, x) a = NonZero (e) f = Cast <to = 1> (a) y = Relu (f)"
    assert shapes(body).sizes("a") == (2, 12)
    assert shapes(body).sizes("y") == (2, 12)


@pytest.mark.parametrize(
    "body",
    [
        "a = com.example.Unknown (x) y = Relu (a)",  # onnxruntime does not load it
        "n = NonZero (x) t = Transpose (n) a = GatherND (x, t) c = Cast <to = 7> (x)"
        " s = Squeeze (c) y = Reshape (a, s)",  # onnxruntime loads it and cannot run it
    ],
)
def test_sizes_stay_unknown_where_onnxruntime_refuses(body):
    assert shapes(body).sizes("y") is None
