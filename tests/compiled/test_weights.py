"""Weights of every shape, on every way to their op: int8 in TensorRT-RTX, right in onnxruntime."""

import numpy as np
import pytest
from onnx import numpy_helper

from tests.inserting import computed

from .engine import compiled
from .table import BASE, LINE, Row, net, recipe

MM = "MatMul(x, {})"
WAYS = {
    "Identity": ("t = Identity(w)", "64,48"),
    "Transpose": ("t = Transpose<perm = [1,0]>(w)", "48,64"),
    "Cast": ("h = Cast<to = 10>(w) t = Cast<to = 1>(h)", "64,48"),
    "Reshape": ("s = Constant<value = int64[2] {64, 48}>() t = Reshape(w, s)", "48,64"),
    "Unsqueeze and Squeeze": (
        "a = Constant<value = int64[1] {0}>() u = Unsqueeze(w, a) t = Squeeze(u, a)", "64,48",
    ),
    "Mul": ("k = Constant<value = float {0.5}>() t = Mul(w, k)", "64,48"),
}  # fmt: skip
PATHS = [
    Row(f"through {way}", net(f"{body} y = MatMul(x, t)", **LINE, w=shape), (BASE,), "y=int8")
    for way, (body, shape) in WAYS.items()
]
CONV_PATH = net(
    "s = Constant<value = int64[4] {32, 32, 3, 3}>() t = Reshape(w, s) y = conv(x, t)", w="32,288"
)
FOUR = {"x": "1,4,16,64"}


def one(name, body, expected="int8", **shapes):
    return Row(name, net(f"y = {body}", **shapes), (BASE,), f"y={expected}")


SHAPES = [
    Row("Conv through Reshape", CONV_PATH, (BASE,), "y=int8"),
    Row("one for two Convs", net("a = conv(x, w) y = conv(a, w)"), (BASE,), "a=int8 y=int8"),
    Row("one with two axes",
        net("a = MatMul(x, w) y = Gemm<transB = 1>(a, w)", x="4,64", w="64,64"),
        (BASE,), "a=int8 y=int8"),
    one("Gemm with alpha, beta and bias", "Gemm<alpha = 0.5, beta = 2.0, transB = 1>(x, w, wb)",
        **LINE, w="48,64", wb="48"),
    one("Gemm transA", "Gemm<transA = 1>(x, w)", x="64,4", w="64,48"),
    one("Gemm transA and transB", "Gemm<transA = 1, transB = 1>(x, w)", x="64,4", w="48,64"),
    one("Gemm with the weight on the left", "Gemm(w, x)", x="64,48", w="32,64"),
    one("Gemm transA with the weight on the left", "Gemm<transA = 1>(w, x)", x="64,48", w="64,32"),
    one("MatMul with the weight on the left", "MatMul(w, x)", x="2,64,48", w="32,64"),
    one("MatMul of a batch of weights", "MatMul(x, w)", x="2,16,64", w="2,64,48"),
    one("MatMul of rank 4", "MatMul(x, w)", **FOUR, w="1,4,64,32"),
    one("MatMul of a batch of weights on the left", "MatMul(w, x)", x="2,64,48", w="2,32,64"),
    one("Conv1d of 2 groups", "Conv<group = 2, pads = [1,1]>(x, w)", x="1,32,64", w="32,16,3"),
    one("Conv1d depthwise", "Conv<group = 32, pads = [1,1]>(x, w)", x="1,32,64", w="32,1,3"),
    one("Conv3d depthwise", "Conv<group = 32, pads = [1,1,1,1,1,1]>(x, w)", x="1,32,8,8,8",
        w="32,1,3,3,3"),
    one("ConvTranspose1d", "ConvTranspose<strides = [2]>(x, w)", "float", x="1,32,64", w="32,16,2"),
    one("ConvTranspose3d", "ConvTranspose<strides = [2,2,2]>(x, w)", "float", x="1,32,4,4,4",
        w="32,16,2,2,2"),
]  # fmt: skip
ROWS = [*PATHS, *SHAPES]


def sqnr_db(float_model, qdq):
    """Of every output, on data that the scales were not made from."""
    kind = float_model.graph.input[0].type.tensor_type
    shape = [d.dim_value for d in kind.shape.dim]
    x = np.random.default_rng(9).normal(size=shape).astype(np.float32)
    both = zip(computed(float_model, x=x), computed(qdq, x=x), strict=True)
    return min(10 * np.log10(np.square(a).sum() / np.square(a - b).sum()) for a, b in both)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("weights", ["int8", "qdq"])
def test_weights(row, weights):
    made = compiled(row.net, recipe(*row.rules), weights=weights)
    tensors = [part.partition("=")[0] for part in row.expected.split()]
    assert " ".join(f"{tensor}={made.of(tensor)}" for tensor in tensors) == row.expected
    assert sqnr_db(row.net, made.qdq) > 30
    stored = {t.name: numpy_helper.to_array(t).dtype for t in made.qdq.graph.initializer}
    weighty = {
        dtype for name, dtype in stored.items() if "scale" not in name and "zero" not in name
    }
    if weights == "int8":
        assert np.dtype(np.int8) in weighty
        assert not any(name == "w" for name in stored)
    else:
        assert stored["w"] == np.float32


def test_two_axes_are_two_constants():
    row = next(r for r in SHAPES if r.name == "one with two axes")
    made = compiled(row.net, recipe(BASE))
    assert {p.axis for p in made.plan.pairs if p.kind == "weight"} == {0, 1}
    names = {t.name for t in made.qdq.graph.initializer}
    assert {"w_quantized", "w_quantized_1"} <= names
    row = next(r for r in SHAPES if r.name == "one for two Convs")
    names = {t.name for t in compiled(row.net, recipe(BASE)).qdq.graph.initializer}
    assert "w_quantized_1" not in names


@pytest.mark.parametrize("weights", ["int8", "qdq"])
def test_channels_of_zeros(weights):
    model = net("y = conv(x, w)")
    (stored,) = (t for t in model.graph.initializer if t.name == "w")
    values = numpy_helper.to_array(stored).copy()
    values[3] = values[17] = 0
    stored.CopyFrom(numpy_helper.from_array(values, "w"))
    made = compiled(model, recipe(BASE), weights=weights)
    assert made.of("y") == "int8"
    found = computed(made.qdq, x=np.ones((1, 32, 16, 16), np.float32))[0]
    assert not found[:, [3, 17]].any()
    assert found[:, 4].any()


def test_weights_in_a_constant_node():
    model = net("y = MatMul(x, w)", **LINE, w="64,48")
    (stored,) = model.graph.initializer
    del model.graph.initializer[:]
    model.graph.node.insert(0, _constant(stored))
    made = compiled(model, recipe(BASE))
    assert made.of("y") == "int8"
    assert sqnr_db(model, made.qdq) > 30
    assert "Constant" not in {n.op_type for n in made.qdq.graph.node}


def _constant(tensor):
    from onnx import helper

    return helper.make_node("Constant", [], [tensor.name], value=tensor)
