"""The base recipe: what each rule's `why` says of the engine, with the rule and without it."""

import pytest

from .engine import compiled, without
from .table import BRANCH_READ, POOL, RESIDUAL, net

NAME = "trt-int8"

WEIGHTED = {
    "Conv": net("y = conv(x, w)"),
    "Gemm": net("y = Gemm<transB = 1>(x, w)", x="4,64", w="48,64"),
    "MatMul": net("y = MatMul(x, w)", x="4,64", w="64,48"),
}
UP = net("y = ConvTranspose<strides = [2,2]>(x, w)", w="32,32,2,2")


@pytest.mark.parametrize("op", WEIGHTED)
def test_weighted_ops(op):
    assert compiled(WEIGHTED[op], NAME).of("y") == "int8"
    assert compiled(WEIGHTED[op], without(NAME, "weighted-ops")).of("y") == "float"


def test_conv_transpose_has_its_pairs_and_is_float_in_tensorrt_rtx():
    made = compiled(UP, NAME)
    assert made.pairs_at("ConvTranspose_y") == {"x", "w"}
    assert made.of("y") == "float"


BLOCKS = {
    "ResNet": RESIDUAL,
    "before activation": net(
        "s0 = conv(x, w0) s = Relu(s0) b = conv(s, w1) a = Add(s, b) y = conv(a, w2)"
    ),
    "linear bottleneck": net(
        "s = conv(x, w0) e = conv(s, w1) e1 = Clip(e) d = conv(e1, w2) d1 = Clip(d) "
        "p = conv(d1, w3) a = Add(s, p) y = conv(a, w4)"
    ),
    "two Convs": net(
        "s = conv(x, w0) e = conv(s, w1) e1 = HardSwish(e) p = conv(e1, w2) a = Add(p, s) "
        "y = conv(a, w3)"
    ),
    "BatchNormalization": net(
        "s0 = conv(x, w0) s = Relu(s0) c = conv(s, w1) b = BatchNormalization(c, g, h, m, v) "
        "a = Add(b, s) y = conv(a, w2)",
        **dict.fromkeys("ghmv", "32"),
    ),
}


@pytest.mark.parametrize("block", BLOCKS)
def test_residual_add(block):
    assert compiled(BLOCKS[block], NAME).of("a") == "Float+Int8>Int8"
    assert compiled(BLOCKS[block], without(NAME, "residual-add")).of("a") == "Float+Float>Int8"


@pytest.mark.parametrize("block", BLOCKS)
def test_the_branch_from_a_conv_has_no_pair(block):
    made = compiled(BLOCKS[block], NAME)
    assert made.pairs_at("Add_a") == {"s"}
    assert not made.plan.diagnostics


def test_concat():
    assert compiled(BRANCH_READ, NAME).of("a") == "Float>Int8"
    assert compiled(BRANCH_READ, without(NAME, "concat")).of("a") == "Float>Int8+Int8"


POOLED = net(
    f"c = conv(x, w0) r = Relu(c) p = MaxPool<{POOL}>(r) y = conv(p, w1) z = conv(r, w2)",
    out="y z",
)


def test_max_pool():
    made = compiled(POOLED, NAME)
    assert (made.of("p"), made.of("r")) == ("Int8>Int8", "Float>Int8")
    assert compiled(POOLED, without(NAME, "max-pool")).of("r") == "Float>Int8+Int8"


@pytest.mark.parametrize(
    "op", [f"AveragePool<{POOL}>(c)", "GlobalAveragePool(c)", "Sigmoid(c)", "Relu(c)"]
)
def test_no_pair_stands_in_front_of_what_stops_it(op):
    made = compiled(net(f"c = conv(x, w) p = {op} y = conv(p, w1)"), NAME)
    assert not made.pairs_at(made.graph.producer("p").name)
    assert made.of("y") == "int8"
