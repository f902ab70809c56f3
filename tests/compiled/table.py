"""What TensorRT-RTX 1.7 makes of one placement after the other: one row an experiment.

In a body `conv` is a padded 3x3 Conv; weights `w..` are 32x32x3x3 where the row does not say else.
"""

import re
from typing import NamedTuple

import onnx

from tests.onnx_text import model

HEAD = """
schema: 1
descriptors:
  act: {calibrator: max}
  narrow: {method: percentile, percentile: 90}  # so that its scales differ from those of act
  weight: {granularity: per_channel, calibrator: max}
  whole: {granularity: per_tensor, calibrator: max}
  axis0: {extends: weight, axis: 0}
  axis1: {extends: weight, axis: 1}
rules:
"""
BASE = "Conv, ConvTranspose, Gemm, MatMul | quantize: {inputs: act, weights: weight}"


def recipe(*rules):
    """YAML of rules written `ops | action`, `name=.. | action` or `a pattern | action`."""
    lines = [HEAD]
    for index, rule in enumerate(rules):
        where, action = (part.strip() for part in rule.split("|", 1))
        if where.startswith("name="):
            match = f"name: {where.removeprefix('name=')}"
        else:
            match = f"pattern: '{where}'" if "(" in where else f"op: [{where}]"
        lines.append(f"  - {{id: r{index}, why: test, match: {{{match}}}, {action}}}\n")
    return "".join(lines)


def net(body, *, x="1,32,16,16", out="y", **shapes):
    """A float model of the lines of a body, with input x."""
    body = body.replace("conv(", "Conv<pads = [1,1,1,1]>(")
    weights = dict.fromkeys(re.findall(r"\bw\w*\b", body), "32,32,3,3") | shapes
    declared = ", ".join(f"float[{shape}] {name}" for name, shape in weights.items())
    outputs = ", ".join(f"float {name}" for name in out.split())
    made = model(f"test (float[{x}] x) => ({outputs}) <{declared}> {{ {body} }}")
    for value in made.graph.output:
        value.type.tensor_type.ClearField("shape")
    return made


class Row(NamedTuple):
    """A model, rules, and what is expected of the ops that make some tensors.

    `y=int8` or `y=float` is how a weighted op is computed, `y=Float+Int8>Int8` what the layers of
    another op read and write; `y=-` has no layer of its own.
    """

    name: str
    net: onnx.ModelProto
    rules: tuple[str, ...]
    expected: str


POOL = "kernel_shape = [2,2], strides = [2,2]"
SAME = "kernel_shape = [5,5], pads = [2,2,2,2], strides = [1,1]"
NEAREST = (
    'Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric", '
    'nearest_mode = "floor">'
)
DOUBLE = "twice = Constant<value_floats = [1.0,1.0,2.0,2.0]>() "
HALF = (
    "low = Constant<value_ints = [0]>() high = Constant<value_ints = [16]>() "
    "axis = Constant<value_ints = [1]>() "
)

SILU = net("c = conv(x, w) g = Sigmoid(c) s = Mul(c, g) y = conv(s, w1)")
CHAIN = [
    Row("a1", net("y = conv(x, w)"), (BASE,), "y=int8"),
    Row("a1 bias", net("y = conv(x, w, wb)", wb="32"), (BASE,), "y=int8"),
    Row("a2 weights only", net("y = conv(x, w)"), ("Conv | quantize: {weights: weight}",),
        "y=float"),
    Row("a3 activations only", net("y = conv(x, w)"), ("Conv | quantize: {inputs: act}",),
        "y=float"),
    Row("a4 Relu", net("c = conv(x, w) r = Relu(c) y = conv(r, w1)"), (BASE,),
        "c=int8 r=Float>Int8 y=int8"),
    Row("a5 SiLU", SILU, (BASE,), "c=int8 g=Float>Int8 s=Float>Int8 y=int8"),
    Row("a6 pairs round the sigmoid", SILU, (BASE, "Sigmoid, Mul | quantize: {inputs: act}"),
        "c=int8 g=Float>Int8 s=Float>Int8 y=int8"),
    Row("a7 BatchNormalization",
        net("c = conv(x, w) b = BatchNormalization(c, g, h, m, v) r = Relu(b) y = conv(r, w1)",
            g="32", h="32", m="32", v="32"),
        (BASE,), "c=int8 b=Float>Int8 r=Float>Int8 y=int8"),
    Row("a8 pair between Conv and Relu", net("c = conv(x, w) r = Relu(c) y = conv(r, w1)"),
        (BASE, "Relu | quantize: {inputs: act}"), "c=int8 r=Float>Int8 y=int8"),
    Row("one pair for two Convs", net("y = conv(x, w) z = conv(x, w1)", out="y z"), (BASE,),
        "y=int8 z=int8 x=Float>Int8"),
    Row("two pairs of different scale", net("y = conv(x, w) z = conv(x, w1)", out="y z"),
        (BASE, "name=Conv_z | quantize: {inputs: narrow}"), "y=int8 z=int8 x=Float>Int8+Int8"),
]  # fmt: skip

RESIDUAL = net(
    "x0 = conv(x, w0) s = Relu(x0) c1 = conv(s, w1) r1 = Relu(c1) c2 = conv(r1, w2) "
    "a = Add(c2, s) r = Relu(a) y = conv(r, w3)"
)
STRAIGHT = net("s = conv(x, w0) c = conv(s, w1) a = Add(c, s) y = conv(a, w2)")
ALL_INT8 = "x0=int8 c1=int8 c2=int8 y=int8"
RESIDUALS = [
    Row("b1 no pair", RESIDUAL, (BASE,), f"{ALL_INT8} s=Float>Float+Int8 a=Float+Float>Int8"),
    Row("b2 the block's own pair", RESIDUAL, (BASE, "Add(Conv, s) | quantize: {s: act}"),
        f"{ALL_INT8} s=Float>Int8 a=Float+Int8>Int8"),
    Row("b3 a pair of its own", RESIDUAL, (BASE, "Add(Conv, s) | quantize: {s: narrow}"),
        f"{ALL_INT8} s=Float>Float+Int8 a=Float+Float>Int8"),
    Row("b4 pair on the main branch", RESIDUAL, (BASE, "Add(m := Conv, s) | quantize: {m: act}"),
        f"{ALL_INT8} s=Float>Float+Int8 a=Float+Float>Int8"),
    Row("b5 pairs on both", RESIDUAL, (BASE, "Add | quantize: {inputs: act}"),
        f"{ALL_INT8} s=Float>Int8 a=Float+Int8>Int8"),
    Row("b6 others on both", RESIDUAL, (BASE, "Add | quantize: {inputs: narrow}"),
        f"{ALL_INT8} s=Float>Float+Int8 a=Float+Float>Int8"),
    Row("skip from a Conv, no pair", STRAIGHT, (BASE,), "c=int8 a=Float+Float>Int8"),
    Row("skip from a Conv, same pair", STRAIGHT, (BASE, "Add | quantize: {'input[1]': act}"),
        "c=int8 a=Float+Int8>Int8"),
    Row("skip from a Conv, other pair", STRAIGHT, (BASE, "Add | quantize: {'input[1]': narrow}"),
        "c=int8 a=Float+Float>Int8"),
]  # fmt: skip

JOIN = "a = conv(x, w1) b = conv(x, w2) k = Concat<axis = 1>(a, b) y = conv(k, w3)"
ONE = net(JOIN, w3="32,64,3,3")
READ_TWICE = net(f"{JOIN} z = conv(k, w4)", out="y z", w3="32,64,3,3", w4="32,64,3,3")
BRANCH_READ = net(
    "a0 = conv(x, w1) a = Relu(a0) b = conv(x, w2) k = Concat<axis = 1>(a, b) "
    "y = conv(k, w3) z = conv(a, w4)",
    out="y z", w3="32,64,3,3",
)  # fmt: skip
NOT_AFTER = "Conv(Concat, ...) | skip: inputs"
UNEQUAL = "Concat | quantize: {'input[0]': act, 'input[1]': narrow}"
EQUAL = "Concat | quantize: {inputs: act}, share_scale: [inputs, outputs]"
CONCATS = [
    Row("c1 equal before, none after", ONE, (BASE, NOT_AFTER, EQUAL), "a=int8 b=int8 k=- y=int8"),
    Row("c2 unequal before, none after", ONE, (BASE, NOT_AFTER, UNEQUAL),
        "a=int8 b=int8 k=Float+Float>Float y=float"),
    Row("c3 only after", ONE, (BASE,), "a=int8 b=int8 k=- y=int8"),
    Row("c4 equal before and after", ONE, (BASE, EQUAL), "a=int8 b=int8 k=- y=int8"),
    Row("c5 all different", ONE, (BASE, UNEQUAL), "a=int8 b=int8 k=- y=int8"),
    Row("c6 branch read elsewhere, equal", BRANCH_READ,
        (BASE, "Concat | share_scale: [inputs, outputs]"), "k=- a=Float>Int8 y=int8 z=int8"),
    Row("c7 branch read elsewhere, unequal", BRANCH_READ,
        (BASE, "name=Conv_z | quantize: {inputs: narrow}"), "k=- a=Float>Int8+Int8 y=int8 z=int8"),
    Row("two readers, one scale", READ_TWICE, (BASE,), "k=- y=int8 z=int8"),
    Row("two readers, two scales", READ_TWICE,
        (BASE, "name=Conv_z | quantize: {inputs: narrow}"), "k=- y=int8 z=int8"),
]  # fmt: skip


def around(name, op, after, before, differ, *, body="", **shapes):
    """A Conv, an op, a Conv: a pair after the op, before it, both of one scale, and of two."""
    kind = op.split("<")[0].split("(")[0]
    model_ = net(f"c = conv(x, w) {body} p = {op} y = conv(p, w1)", **shapes)
    one = f"{kind} | quantize: {{'input[0]': act}}"
    return [
        Row(f"{name} after", model_, (BASE,), f"c=int8 p={after}"),
        Row(f"{name} before", model_, (BASE, one, "name=Conv_y | skip: inputs"),
            f"c=int8 p={before}"),
        Row(f"{name} both, equal", model_,
            (BASE, f"{one}, share_scale: ['input[0]', outputs]"), f"c=int8 p={after}"),
        Row(f"{name} both, unequal", model_,
            (BASE, f"{kind} | quantize: {{'input[0]': narrow}}"), f"c=int8 p={differ}"),
    ]  # fmt: skip


FUSED, LOST = "Float>Int8 y=int8", "Float>Float y=float"
IN_BETWEEN = [
    *around("MaxPool", f"MaxPool<{POOL}>(c)", *["Int8>Int8 y=int8"] * 3),
    *around("AveragePool", f"AveragePool<{POOL}>(c)", "Float>Float y=int8", LOST,
            "Float>Float y=int8"),
    *around("GlobalAveragePool", "GlobalAveragePool(c)", "Float>Float y=int8", LOST,
            "Float>Float y=int8"),
    *around("Resize", f"{NEAREST}(c, , twice)", FUSED, LOST, FUSED, body=DOUBLE),
    *around("Relu", "Relu(c)", FUSED, LOST, FUSED),
    *around("Sigmoid", "Sigmoid(c)", FUSED, LOST, FUSED),
    *around("LeakyRelu", "LeakyRelu<alpha = 0.1>(c)", FUSED, LOST, FUSED),
    *around("HardSwish", "HardSwish(c)", FUSED, LOST, FUSED),
    *around("Erf", "Erf(c)", FUSED, LOST, FUSED),
    *around("Softmax", "Softmax<axis = 1>(c)", FUSED, LOST, FUSED),
    *around("Transpose", "Transpose<perm = [0,1,3,2]>(c)", *[FUSED] * 3),
    *around("Slice", "Slice(c, low, high, axis)", *[FUSED] * 3, body=HALF, w1="32,16,3,3"),
]  # fmt: skip

SPPF = net(
    f"c = conv(x, w) s = Relu(c) p1 = MaxPool<{SAME}>(s) p2 = MaxPool<{SAME}>(p1) "
    f"p3 = MaxPool<{SAME}>(p2) k = Concat<axis = 1>(s, p1, p2, p3) y = Conv(k, w1)",
    w1="32,128,1,1",
)
C2F = net(
    "parts = Constant<value_ints = [16,16]>() c = conv(x, w) s = Relu(c) "
    "l, r = Split<axis = 1>(s, parts) d = conv(r, w1) e = Relu(d) a = Add(r, e) "
    "k = Concat<axis = 1>(l, r, a) y = Conv(k, w2)",
    w1="16,16,3,3", w2="32,48,1,1",
)  # fmt: skip
SHARED = "Concat | share_scale: [inputs, outputs]"
POOLS = "p1={0} p2={0} p3={0}"
BLOCKS = [
    Row("SPPF pair after the Concat", SPPF, (BASE,),
        f"{POOLS.format('Int8>Int8')} k=- y=int8"),
    Row("SPPF pairs into the Concat", SPPF, (BASE, NOT_AFTER, EQUAL),
        f"{POOLS.format('Int8>Int8')} k=- y=int8"),
    Row("SPPF pairs everywhere", SPPF,
        (BASE, "MaxPool, Concat | quantize: {inputs: act}, share_scale: [inputs, outputs]"),
        f"{POOLS.format('Int8>Int8')} k=- y=int8"),
    Row("SPPF pairs before the pools only", SPPF,
        (BASE, "MaxPool | quantize: {inputs: act}, share_scale: [inputs, outputs]"),
        f"{POOLS.format('Float>Float')} y=int8"),
    Row("SPPF pair before the first pool only", SPPF,
        (BASE, "name=MaxPool_p1 | quantize: {inputs: act}, share_scale: [inputs, outputs]", SHARED),
        "p1=Float>Float p2=Int8>Int8 p3=Int8>Int8 y=int8"),
    Row("C2f no skip pair", C2F, (BASE, SHARED), "l=Float>Float+Int8+Int8 d=int8 y=int8"),
    Row("C2f skip pair, shared", C2F, (BASE, "Add(s, Relu) | quantize: {s: act}", SHARED),
        "l=Float>Int8+Int8 d=int8 y=int8"),
    Row("C2f skip pair, not shared", C2F, (BASE, "Add(s, Relu) | quantize: {s: act}"),
        "l=Float>Int8+Int8+Int8 d=int8 y=int8"),
    Row("SE gate",
        net("c = conv(x, w) g = GlobalAveragePool(c) e = Conv(g, w1) r = Relu(e) f = Conv(r, w2) "
            "h = Sigmoid(f) m = Mul(c, h) y = conv(m, w3)", w1="8,32,1,1", w2="32,8,1,1"),
        (BASE,), "c=int8 g=Float>Float+Float e=int8 f=int8 y=int8"),
]  # fmt: skip

LINE = {"x": "4,64"}


def product(name, body, expected, *rules, **shapes):
    """One weighted op y."""
    return Row(name, net(f"y = {body}", **shapes), rules or (BASE,), f"y={expected}")


def channels(op, descriptor):
    """The rule that gives weights a channel axis, or none."""
    return f"{op} | quantize: {{inputs: act, weights: {descriptor}}}"


GEMM, UP = "Gemm<transB = 1>(x, w)", "ConvTranspose<strides = [2,2]>(x, w)"
TURNED = net("t = Transpose<perm = [1,0]>(w) y = MatMul(x, t)", **LINE, w="48,64")
PRODUCTS = [
    product("e1 Gemm transB", GEMM, "int8", **LINE, w="48,64"),
    product("e2 Gemm transB, axis 1", GEMM, "float", channels("Gemm", "axis1"), **LINE, w="48,64"),
    product("e3 Gemm", "Gemm(x, w)", "int8", **LINE, w="64,48"),
    product("e3b Gemm, axis 0", "Gemm(x, w)", "float", channels("Gemm", "axis0"), **LINE,
            w="64,48"),
    product("e4 MatMul", "MatMul(x, w)", "int8", **LINE, w="64,48"),
    product("e5 MatMul, axis 0", "MatMul(x, w)", "float", channels("MatMul", "axis0"), **LINE,
            w="64,48"),
    product("e6 MatMul per tensor", "MatMul(x, w)", "int8", channels("MatMul", "whole"), **LINE,
            w="64,48"),
    product("e7 MatMul weights only", "MatMul(x, w)", "float",
            "MatMul | quantize: {weights: weight}", **LINE, w="64,48"),
    product("MatMul activations only", "MatMul(x, w)", "float",
            "MatMul | quantize: {inputs: act}", **LINE, w="64,48"),
    product("MatMul constant on the left", "MatMul(w, x)", "int8", x="64,48", w="32,64"),
    product("e9 MatMul of rank 3", "MatMul(x, w)", "int8", x="2,16,64", w="64,48"),
    Row("e8 two activations", net("t = Transpose<perm = [0,1,3,2]>(x) y = MatMul(x, t)"), (BASE,),
        "y=int8"),
    Row("n12 Einsum", net('y = Einsum<equation = "bij,jk->bik">(x, w)', x="2,16,64", w="64,48"),
        ("Einsum | quantize: {inputs: act, weights: axis1}",), "y=int8"),
    Row("n15 transposed weight, folded", TURNED, (BASE,), "y=int8"),
    Row("n15 transposed weight, pair before", TURNED,
        ("MatMul(x, Transpose(w)) | quantize: {x: act, w: axis0}",), "y=int8"),
    Row("l12 attention",
        net("t = Transpose<perm = [0,1,3,2]>(x) q = MatMul(x, t) s = Softmax(q) y = MatMul(s, x)"),
        (BASE,), "q=int8 s=Float+Float>Int8 y=int8"),
    product("f1 ConvTranspose", UP, "float", w="32,32,2,2"),
    product("f2 ConvTranspose, axis 0", UP, "float", channels("ConvTranspose", "axis0"),
            w="32,32,2,2"),
    product("f3 ConvTranspose per tensor", UP, "float", channels("ConvTranspose", "whole"),
            w="32,32,2,2"),
    product("f3b ConvTranspose of 2 groups", "ConvTranspose<strides = [2,2], group = 2>(x, w)",
            "float", w="32,16,2,2"),
    product("f4 depthwise", "Conv<group = 32, pads = [1,1,1,1]>(x, w)", "int8", w="32,1,3,3"),
    product("f5 4 groups", "Conv<group = 4, pads = [1,1,1,1]>(x, w)", "int8", w="32,8,3,3"),
    product("f6 stem", "conv(x, w)", "int8", x="1,3,32,32", w="32,3,3,3"),
    product("f7 Conv, axis 1", "conv(x, w)", "float", channels("Conv", "axis1")),
    product("f8 Conv per tensor", "conv(x, w)", "int8", channels("Conv", "whole")),
    product("f9 Conv1d", "Conv<pads = [1,1]>(x, w)", "int8", x="1,32,64", w="32,32,3"),
    product("n13 Conv3d", "Conv<pads = [1,1,1,1,1,1]>(x, w)", "int8", x="1,32,8,8,8",
            w="32,32,3,3,3"),
    product("f11 30 to 62 channels", "conv(x, w)", "int8", x="1,30,16,16", w="62,30,3,3"),
    product("strides and dilations", "Conv<strides = [2,2], dilations = [2,2]>(x, w)", "int8"),
]  # fmt: skip

ROWS = [*CHAIN, *RESIDUALS, *CONCATS, *IN_BETWEEN, *BLOCKS, *PRODUCTS]
