"""What TensorRT-RTX makes of pairs inside If, Loop and Scan, which onnxq does not place (OQ216)."""

import numpy as np
import pytest
from onnx import numpy_helper, parser

from .engine import layers_of

CONV = ("float[1,32,8,8]", (32, 32, 1, 1), "Conv", 0)
MATMUL = ("float[16,32]", (32, 32), "MatMul", 1)
ACTIVATION = "q = QuantizeLinear ({x}, s, z) d = DequantizeLinear (q, s, z)"
WEIGHT = "k = DequantizeLinear <axis = {axis}> (w, ws, wz)"
BODIES = {
    "If": (
        "v",
        "{outside} y = If (c) <"
        "then_branch = t () => ({kind} u) {{ {inside} [op] u = {op} (d, k) }},"
        " else_branch = e () => ({kind} n) {{ n = Neg (v) }}>",
        ", bool c",
    ),
    "Loop": (
        "v",
        "{outside} n = Constant <value_int = 4> () t = Constant <value = bool {{1}}> ()"
        " y = Loop (n, t, v) <body = b (int64 i, bool g, {kind} h) => (bool a, {kind} o) {{"
        " a = Identity (g) {inside} [op] p = {op} (d, k) o = Add (p, h) }}>",
        "",
    ),
    "Loop, over what it carries": (
        "h",
        "{outside} n = Constant <value_int = 4> () t = Constant <value = bool {{1}}> ()"
        " y = Loop (n, t, v) <body = b (int64 i, bool g, {kind} h) => (bool a, {kind} o) {{"
        " a = Identity (g) {inside} [op] o = {op} (d, k) }}>",
        "",
    ),
    "Scan": (
        "v",
        "{outside} f, r = Scan <num_scan_inputs = 1, body = b ({kind} h, {kind} e) => ({kind} o,"
        " {kind} l) {{ {inside} [op] p = {op} (d, k) o = Add (p, h) l = Add (p, e) }}> (v, m)"
        " y = Identity (f)",
        ", {many} m",
    ),
}  # fmt: skip


def model(body, product, outside):
    kind, shape, op, axis = product
    data, text, inputs = BODIES[body]
    pairs = [ACTIVATION.format(x=data), WEIGHT.format(axis=axis)]
    text = text.format(
        kind=kind,
        op=op,
        inside=" ".join(p for p in pairs if p[0] not in outside),
        outside=" ".join(p for p in pairs if p[0] in outside),
    )
    inputs = inputs.format(many=kind.replace("[", "[3,"))
    proto = parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g ({kind} v{inputs}) => ({kind} y)'
        f" <float s = {{0.03}}, int8 z = {{0}}> {{ {text} }}"
    )
    values = np.random.default_rng(0).integers(-100, 100, shape).astype(np.int8)
    stored = {"w": values, "ws": np.full(32, 0.01, np.float32), "wz": np.zeros(32, np.int8)}
    proto.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in stored.items())
    return proto


def products(layers):
    """The layers that compute matrix products."""
    return [layer for layer in layers.layers if layer.kind in ("correlation", "gemm")]


ROWS = [
    ("If", "", "int8"),
    ("If", "k", "int8"),
    ("If", "qk", "float"),
    ("Loop", "", "int8"),
    ("Loop", "k", "int8"),
    ("Loop", "qk", "int8"),
    ("Loop, over what it carries", "", "int8"),
    ("Loop, over what it carries", "k", "int8"),
    ("Scan", "", "int8"),
    ("Scan", "k", "int8"),
    ("Scan", "qk", "int8"),
]  # the body, the pairs that stand outside of it (q the activation's, k the weight's), and the type


@pytest.mark.parametrize("product", [CONV, MATMUL], ids=["Conv", "MatMul"])
@pytest.mark.parametrize(("body", "outside", "expected"), ROWS)
def test_row(body, outside, expected, product):
    found = products(layers_of(model(body, product, outside)))
    assert found
    assert {layer.precision for layer in found} == {expected}
