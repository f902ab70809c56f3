"""What TensorRT-RTX makes of pairs inside If, Loop and Scan, and of those that onnxq places."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from onnxq.linting import predict
from tests import onnx_text
from tests.inserting import quantized

from .engine import layers_of

CONV = ("float[1,32,8,8]", (32, 32, 1, 1), "Conv", 0)
MATMUL = ("float[16,32]", (32, 32), "MatMul", 1)
QUANTIZE = "q = QuantizeLinear ({x}, s, z)"
DEQUANTIZE = "d = DequantizeLinear (q, s, z)"
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
    pairs = [QUANTIZE.format(x=data), DEQUANTIZE, WEIGHT.format(axis=axis)]
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
    ("If", "qk", "int8"),
    ("If", "qdk", "float"),
    ("Loop", "", "int8"),
    ("Loop", "k", "int8"),
    ("Loop", "qk", "int8"),
    ("Loop", "qdk", "int8"),
    ("Loop, over what it carries", "", "int8"),
    ("Loop, over what it carries", "k", "int8"),
    ("Scan", "", "int8"),
    ("Scan", "k", "int8"),
    ("Scan", "qk", "int8"),
    ("Scan", "qdk", "int8"),
]  # the body, what stands outside of it (q and d of the activation, k of the weight), and the type


@pytest.mark.parametrize("product", [CONV, MATMUL], ids=["Conv", "MatMul"])
@pytest.mark.parametrize(("body", "outside", "expected"), ROWS)
def test_row(body, outside, expected, product):
    found = products(layers_of(model(body, product, outside)))
    assert found
    assert {layer.precision for layer in found} == {expected}


SHAPE = "float[2,16,8,8]"
TWO = f"""
g ({SHAPE} x, bool c) => ({SHAPE} y, {SHAPE} z) <float[16,16,1,1] w, float[16,16,1,1] k> {{
    p = Relu (x)
    [outside] y = Conv (OUTSIDE, w)
    z = If (c) <
        then_branch = t () => ({SHAPE} u) {{ [taken] u = Conv (p, k) }},
        else_branch = e () => ({SHAPE} v) {{ [other] v = Conv (p, k) }}
    >
}}
"""


def as_built(qdq):
    """The types of the three Convs, which lint foretells."""
    layers = layers_of(qdq)
    found = {name: layers.precision(name) for name in ("outside", "taken", "other")}
    assert {op.node: op.precision for op in predict(qdq).ops} == found
    return found


@pytest.mark.parametrize("outside", ["x", "p"])
def test_a_tensor_is_quantized_once_for_both_branches(tmp_path, outside):
    qdq = quantized(tmp_path, onnx_text.model(TWO.replace("OUTSIDE", outside)))
    assert set(as_built(qdq).values()) == {"int8"}


def test_equal_pairs_outside_and_in_a_branch_are_merged(tmp_path):
    qdq = quantized(tmp_path, onnx_text.model(TWO.replace("OUTSIDE", "p")))
    (quantize,) = (n for n in qdq.graph.node if n.output[0] == "p_quantized")
    (branches,) = (n for n in qdq.graph.node if n.op_type == "If")
    for number, attribute in enumerate(branches.attribute):
        own = onnx.NodeProto()
        own.CopyFrom(quantize)
        own.name += str(number)
        own.output[0] += str(number)
        (dequantize,) = (n for n in attribute.g.node if n.op_type == "DequantizeLinear")
        dequantize.input[0] = own.output[0]
        attribute.g.node.insert(0, own)
    onnx.checker.check_model(qdq, full_check=True)
    assert as_built(qdq) == {"outside": "int8", "taken": "float", "other": "float"}


def test_a_stored_weight_is_taken_from_outside_with_its_dequantizelinear_alone(tmp_path):
    qdq = quantized(tmp_path, onnx_text.model(TWO.replace("OUTSIDE", "x")))
    (weight,) = (n for n in qdq.graph.node if n.input[0] == "k_quantized")
    qdq.graph.node.remove(weight)
    (branches,) = (n for n in qdq.graph.node if n.op_type == "If")
    for number, attribute in enumerate(branches.attribute):
        own = onnx.NodeProto()
        own.CopyFrom(weight)
        own.name += str(number)
        own.output[0] += str(number)
        for node in attribute.g.node:
            if node.op_type == "Conv":
                node.input[1] = own.output[0]
        attribute.g.node.insert(0, own)
    onnx.checker.check_model(qdq, full_check=True)
    with pytest.raises(Exception, match="Invalid Engine"):
        layers_of(qdq)
