"""Residual connections of every form: the sum reads INT8, whatever stands behind the last Conv."""

import pytest

from onnxq.linting import lint

from .engine import compiled, without
from .table import net

NAME = "trt-int8"
SIX = "three = Constant<value_float = 3.0>() six = Constant<value_float = 6.0>() "
HALF = (
    "one = Constant<value_float = 1.0>() half = Constant<value_float = 0.5>() "
    "root = Constant<value_float = 1.414>() "
)
NORM = "BatchNormalization({0}, g, h, m, v)"
# What stands between a Conv's result {0} and the sum, which reads {1}.
BEHIND = {
    "nothing": "{1} = Identity({0})",
    "Relu": "{1} = Relu({0})",
    "SiLU": "{1}s = Sigmoid({0}) {1} = Mul({0}, {1}s)",
    "BatchNormalization": "{1} = " + NORM,
    "BatchNormalization and SiLU": "{1}n = " + NORM + " {1}s = Sigmoid({1}n) {1} = Mul({1}n, {1}s)",
    "HardSwish": "{1} = HardSwish({0})",
    "HardSwish in parts": SIX + "{1}a = Add({0}, three) {1}c = Clip({1}a, , six) "
    "{1}m = Mul({0}, {1}c) {1} = Div({1}m, six)",
    "GELU": HALF + "{1}d = Div({0}, root) {1}e = Erf({1}d) {1}a = Add({1}e, one) "
    "{1}m = Mul({0}, {1}a) {1} = Mul({1}m, half)",
    "Mish": "{1}p = Softplus({0}) {1}t = Tanh({1}p) {1} = Mul({0}, {1}t)",
    "Dropout": "{1} = Dropout({0})",
    "LayerScale": "{1} = Mul(scale, {0})",
    "a gate": "{1}p = GlobalAveragePool({0}) {1}r = Reshape({1}p, line) {1}f = MatMul({1}r, gate) "
    "{1}q = Reshape({1}f, map) {1}s = Sigmoid({1}q) {1} = Mul({0}, {1}s)",
}
SHAPES = dict.fromkeys("ghmv", "32") | {"scale": "32,1,1", "gate": "32,32"}
LISTS = "line = Constant<value_ints = [1,32]>() map = Constant<value_ints = [1,32,1,1]>() "


def block(behind, *, convs=1, join="Add(e, s)"):
    """Convs with something behind the last one, and what the first of them reads, joined."""
    chain = " ".join(f"c{i + 1} = conv({f'c{i}' if i else 's'}, w{i})" for i in range(convs))
    last = BEHIND[behind].format(f"c{convs}", "e")
    lists = LISTS if behind == "a gate" else ""
    return net(
        f"{lists}x0 = conv(x, w8) s = Relu(x0) {chain} {last} a = {join} y = conv(a, w9)", **SHAPES
    )


def reads(made):
    """The types that the kernel of the sum reads."""
    return set(made.of("a").partition(">")[0].split("+"))


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("convs", [1, 2])
def test_the_sum_reads_int8(behind, convs):
    made = compiled(block(behind, convs=convs), NAME)
    assert (reads(made), made.of("s")) == ({"Float", "Int8"}, "Float>Int8")
    assert made.pairs_at("Add_a") == {"s"}
    assert not lint(made.qdq)
    assert not made.plan.diagnostics


@pytest.mark.parametrize("behind", BEHIND)
def test_without_the_rule(behind):
    less = compiled(block(behind), without(NAME, "residual-add"))
    assert (reads(less), less.of("s")) == ({"Float"}, "Float>Float+Int8")
    assert [f.code for f in lint(less.qdq)] == ["OQ628"]


@pytest.mark.parametrize("join", ["Sum(e, s)", "Sum(s, e)", "Add(s, e)"])
@pytest.mark.parametrize("behind", ["SiLU", "BatchNormalization"])
def test_sums_in_either_order(behind, join):
    made = compiled(block(behind, join=join), NAME)
    assert made.of("a") == "Float+Int8>Int8"
    less = compiled(block(behind, join=join), without(NAME, "residual-add"))
    assert [f.code for f in lint(less.qdq)] == ["OQ628"]


COPIED = {
    "before the Conv": "i = Identity(s) c = conv(i, w1) e = Relu(c) a = Add(e, s)",
    "round it": "i = Identity(s) c = conv(s, w1) e = Relu(c) a = Add(e, i)",
}


@pytest.mark.parametrize("where", COPIED)
def test_copies(where):
    body = f"x0 = conv(x, w0) s = Relu(x0) {COPIED[where]} y = conv(a, w2)"
    assert compiled(net(body), NAME).of("a") == "Float+Int8>Int8"


@pytest.mark.parametrize("recipe", ["yolo", "resnet", "trt-fp8"])
def test_other_recipes(recipe):
    eight = "FP8" if recipe == "trt-fp8" else "Int8"
    made = compiled(block("BatchNormalization and SiLU"), recipe)
    assert sorted(made.of("a").partition(">")[0].split("+")) == sorted(["Float", eight])


FLOAT = {
    "of two blocks": "b = conv(x, w1) c = Sigmoid(b) d = conv(x, w2) e = Sigmoid(d) a = Add(c, e)",
    "of what no Conv reads": "p = AveragePool<kernel_shape = [1,1]>(x) b = conv(x, w1) "
    "e = Relu(b) a = Add(e, p)",
    "of a matrix product": "b = MatMul(x, w1) e = Relu(b) a = Add(e, x)",
    "with a bias": "b = conv(x, w1) e = Relu(b) a = Add(e, w2)",
}


@pytest.mark.parametrize("kind", FLOAT)
def test_other_sums_have_no_pair(kind):
    shapes = {"w1": "16,16"} if "matrix" in kind else {"w2": "32,1,1"} if "bias" in kind else {}
    made = compiled(net(f"{FLOAT[kind]} y = conv(a, w9)", **shapes), NAME)
    assert not made.pairs_at("Add_a")


DOWN = {
    "BatchNormalization": "c = conv(s, w1) b = BatchNormalization(c, g, h, m, v) r = Relu(b) "
    "d = conv(r, w2) e = BatchNormalization(d, g, h, m, v) f = conv(s, w3) "
    "k = BatchNormalization(f, g, h, m, v) a = Add(e, k)",
    "SiLU": "c = conv(s, w1) b = Sigmoid(c) r = Mul(c, b) d = conv(r, w2) k = conv(s, w3) "
    "a = Add(d, k)",
    "pooled": "c = conv(s, w1) r = Relu(c) d = conv(r, w2) "
    "p = AveragePool<kernel_shape = [1,1]>(s) k = conv(p, w3) a = Sum(k, d)",
}


@pytest.mark.parametrize("kind", DOWN)
def test_a_shortcut_with_a_conv_of_its_own(kind):
    body = f"x0 = conv(x, w0) s = Relu(x0) {DOWN[kind]} y = conv(a, w4)"
    made = compiled(net(body, **dict.fromkeys("ghmv", "32")), "resnet")
    assert made.pairs_at(made.graph.producer("a").name) == {"k"}
    assert set(made.products.values()) == {"int8"}
