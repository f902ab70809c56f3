"""Bounds of tensors: never below a value that onnxruntime computes, and exact where they can be."""

import math

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from onnxq.model.graph import Graph
from onnxq.model.magnitudes import largest, magnitudes
from onnxq.model.preparing import name_nodes
from tests.inserting import computed
from tests.onnx_text import graph, model

X = np.random.default_rng(3).uniform(-3, 3, size=(2, 4)).astype(np.float32)
AMAX = float(np.abs(X).max())


def bound(body, observed=AMAX, constants=""):
    """The bound of y, where x of 2x4 is at most `observed`."""
    text = f"g (float[2,4] x) => (float[2,4] y) <{constants}> {{ {body} }}"
    return magnitudes(graph(text), {"x": observed})["y"]


# The body that makes y of x, its constants, and the exact bound for |x| <= 2.
EXACT = {
    "Relu": ("y = Relu(x)", "", 2),
    "Sigmoid": ("y = Sigmoid(x)", "", 1),
    "Add": ("y = Add(x, c)", "float[1] c = {-3}", 5),
    "Sub": ("y = Sub(c, x)", "float[1] c = {-3}", 5),
    "Sum": ("y = Sum(x, c, x)", "float[1] c = {-3}", 7),
    "Mul": ("y = Mul(x, c)", "float[1] c = {-30000}", 60000),
    "Mul by itself": ("y = Mul(x, x)", "", 4),
    "Div": ("y = Div(x, c)", "float[4] c = {1, -0.5, 2, 4}", 4),
    "Div by zero": ("y = Div(x, c)", "float[4] c = {1, 0, 2, 4}", math.inf),
    "Div of a constant": ("y = Div(c, x)", "float[1] c = {1}", math.inf),
    "Pow": ("y = Pow(x, c)", "float c = {3}", 8),
    "Pow that shrinks": ("y = Pow(x, c)", "float c = {-1}", math.inf),
    "Exp": ("y = Exp(x)", "", math.exp(2)),
    "Sqrt": ("y = Sqrt(x)", "", math.sqrt(2)),
    "Clip": ("y = Clip(x, l, h)", "float l = {-6}, float h = {1}", 6),
    "Clip below": ("y = Clip(x, l)", "float l = {0}", 2),
    "Clip above": ("y = Clip(x, , h)", "float h = {6}", 6),
    "LeakyRelu": ("y = LeakyRelu<alpha = -3.0>(x)", "", 6),
    "PRelu": ("y = PRelu(x, c)", "float[1] c = {0.25}", 2),
    "Concat and Slice": (
        "a = Concat<axis = 1>(x, c) y = Slice(a, s, e, d)",
        "float[2,1] c = {-7, 1}, int64[1] s = {0}, int64[1] e = {4}, int64[1] d = {1}", 7,
    ),
    "MatMul": ("y = MatMul(x, w)", "float[4,4] w = {1,0,0,0, -1,0,0,0, 1,0,0,5, 0,0,2,0}", 10),
    "Einsum": (
        'y = Einsum<equation = "ab,bc->ac">(x, w)',
        "float[4,4] w = {1,0,0,0, -1,0,0,0, 1,0,0,5, 0,0,2,0}", 10,
    ),
    "Einsum with a sum over one operand": (
        'y = Einsum<equation = "ab,bc->c">(x, w)', "float[4,1] w = {1, 2, 3, 4}",
        math.inf,
    ),
    "MatMul from the left": ("y = MatMul(w, x)", "float[2,2] w = {1, -2, 0, 4}", 8),
    "MatMul of activations": (
        "t = Transpose<perm = [1, 0]>(x) a = MatMul(x, t) b = MatMul(a, x) y = Mul(b, c)",
        "float[1] c = {1}", 2 * 4 * 2 * 2 * 2,
    ),
    "Gemm": (
        "y = Gemm<alpha = 2.0, beta = -3.0, transB = 1>(x, w, b)",
        "float[4,4] w = {1,1,1,1, 0,0,0,0, 3,-3,0,0, 0,0,0,0}, float[4] b = {0, 1, 0, -2}",
        2 * 6 * 2 + 3 * 2,
    ),
    "ReduceSum": ("i = Constant<value_ints = [1]>() r = ReduceSum(x, i) y = Add(x, r)", "", 2 + 8),
    "ReduceMean": ("r = ReduceMean<axes = [1]>(x) y = Sub(x, r)", "", 4),
    "Cast": (
        "i = Cast<to = 3>(x) f = Cast<to = 1>(i) y = Add(f, c)", "float[1] c = {0}", 128,
    ),
    "an op of no rule": ("y = Tan(x)", "", math.inf),
    "a tensor of no bound times zero": ("a = Tan(x) y = Mul(a, c)", "float[1] c = {0}", math.inf),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_the_bound_of_an_op(name):
    body, constants, expected = EXACT[name]
    assert bound(body, 2.0, constants) == pytest.approx(expected)


@pytest.mark.parametrize("name", [name for name, case in EXACT.items() if case[2] < math.inf])
def test_no_computed_value_exceeds_the_bound(name):
    body, constants, _ = EXACT[name]
    text = f"g (float[2,4] x) => (float[2,4] y) <{constants}> {{ {body} }}"
    (y,) = computed(name_nodes(model(text)), x=X)
    assert largest(y) <= bound(body, AMAX, constants) * (1 + 1e-6)


CONVS = {
    "Conv": "y = Conv<pads = [1, 1, 1, 1]>(x, w, b)",
    "grouped Conv": "y = Conv<pads = [1, 1, 1, 1], group = 2>(x, w, b)",
    "ConvTranspose": "y = ConvTranspose(x, w, b)",
    "grouped ConvTranspose": "y = ConvTranspose<group = 2>(x, w, b)",
    "BatchNormalization": "y = BatchNormalization(x, b, b, b, v)",
    "InstanceNormalization": "y = InstanceNormalization(x, b, b)",
    "LayerNormalization": "y = LayerNormalization(x, n)",
    "Resize": "s = Constant<value_floats = [1.0, 1.0, 2.0, 2.0]>() "
    'y = Resize<mode = "cubic">(x, , s)',
    "AveragePool": "y = AveragePool<kernel_shape = [2, 2]>(x)",
    "GlobalAveragePool": "y = GlobalAveragePool(x)",
    "ReduceSum": "y = ReduceSum(x)",
}


@pytest.mark.parametrize("name", CONVS)
def test_an_op_on_pictures_stays_within_its_bound(name):
    rng = np.random.default_rng(5)
    inputs = 2 if name.startswith("grouped Conv") and "Transpose" not in name else 4
    outputs = 2 if name == "grouped ConvTranspose" else 4
    shape = (4, outputs, 3, 3) if "Transpose" in name else (4, inputs, 3, 3)
    proto = model(
        f"g (float[1,4,6,6] x) => (float[a,b,c,d] y) <float[{','.join(map(str, shape))}] w,"
        f" float[4] b, float[4] v, float[6] n> {{ {CONVS[name]} }}"
    )
    for tensor, size in zip(proto.graph.initializer, (shape, 4, 4, 6), strict=True):
        array = rng.normal(size=size).astype(np.float32)
        array = np.abs(array) if tensor.name == "v" else array
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    if name == "ReduceSum":
        proto.graph.output[0].type.tensor_type.shape.Clear()
        for _ in range(4):
            proto.graph.output[0].type.tensor_type.shape.dim.add().dim_value = 1
    x = rng.normal(size=(1, 4, 6, 6)).astype(np.float32)
    (y,) = computed(name_nodes(proto), x=x)
    limit = magnitudes(Graph(name_nodes(proto)), {"x": largest(x)})["y"]
    assert largest(y) <= limit < 1e4


def test_what_was_observed_is_taken_as_it_is():
    view = graph("g (float[2,4] x) => (float[2,4] y) { a = Exp(x) y = Relu(a) }")
    bounds = magnitudes(view, {"x": 100.0, "a": 3.0})
    assert bounds == {"x": 100.0, "a": 3.0, "y": 3.0}


def test_an_input_that_was_not_observed_has_no_bound():
    view = graph("g (float[2,4] x) => (float[2,4] y) { a = Identity(x) y = Tanh(a) }")
    assert magnitudes(view, {}) == {"x": math.inf, "a": math.inf, "y": 1.0}


def test_other_types_and_bodies_are_left_out():
    view = graph(
        "g (float[2,4] x, bool p) => (float[2,4] y) { i = Shape(x) "
        "b = If<then_branch = t () => (float[2,4] u) { u = Neg(x) }, "
        "else_branch = e () => (float[2,4] v) { v = Relu(x) }>(p) y = Sigmoid(b) }"
    )
    assert magnitudes(view, {"x": 2.0}) == {"b": math.inf, "x": 2.0, "y": 1.0}


def test_a_dequantized_tensor_reaches_what_its_integers_do():
    view = graph(
        "g (int8[2,4] q) => (float[2,4] y) <float s = {0.5}, int8 z = {-128}> "
        "{ y = DequantizeLinear(q, s, z) }"
    )
    assert view.type("y").dtype == TensorProto.FLOAT
    assert magnitudes(view, {})["y"] == 127.5


def test_infinities_of_a_constant_do_not_count():
    assert largest(np.float32([-np.inf, 3, -4, np.nan])) == 4
    assert largest(np.float32([np.inf])) == 0
