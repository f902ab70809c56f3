"""The default on small detectors of four kinds of YOLO: what its rules do to the engine."""

from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest

from onnxq.model.graph import Graph
from onnxq.model.preparing import prepare
from onnxq.planning.cascade import plan
from onnxq.planning.recipe import load

from .engine import compiled, quantized, without, without_skips
from .table import net
from .yolo_like import KINDS, yolo

NAME = "trt-int8"
DFL = "/head/dfl/Conv"
WITH_SHORTCUTS = ("v5", "v8", "11")


@cache
def built(kind, *, less=None):
    """The engine of a kind, by the recipe or by what is left of it without one rule."""
    recipe = without_skips(NAME) if less == "skips" else without(NAME, less) if less else NAME
    return compiled(yolo(kind), recipe)


def in_head(name):
    return name.startswith("/head/")


@pytest.mark.parametrize("kind", KINDS)
def test_every_product_but_the_distribution_is_int8(kind):
    made = built(kind)
    assert {name for name, how in made.products.items() if how != "int8"} == {DFL}
    assert not made.plan.diagnostics


@pytest.mark.parametrize("kind", KINDS)
def test_only_softmax_is_stored_in_float_outside_the_head(kind):
    made = built(kind)
    kinds = {made.graph.by_name[n].op for n in made.stored_in_float if not in_head(n)}
    assert kinds == ({"Mul", "Softmax"} if kind == "11" else set())


@pytest.mark.parametrize("kind", ["v5", "v8"])
def test_bottleneck_add(kind):
    made, less = built(kind), built(kind, less="skips")
    adds = [n.name for n in made.graph.nodes if n.op == "Add" and not in_head(n.name)]
    assert len(adds) == 2 * 5  # two in each of five blocks
    for name in adds:
        assert "Int8" in made.named(name).partition(">")[0].split("+")
        assert made.named(name).count("Float") < less.named(name).count("Float")
    assert less.stored_in_float & set(adds)


SHORTCUTS = {
    "depthwise": net(
        "s0 = conv(x, w0) s = Relu(s0) a1 = conv(s, w1) a2 = Sigmoid(a1) a3 = Mul(a1, a2) "
        "b1 = conv(a3, w2) b2 = Sigmoid(b1) b3 = Mul(b1, b2) c1 = conv(b3, w3) c2 = Sigmoid(c1) "
        "c3 = Mul(c1, c2) a = Add(c3, s) y = conv(a, w4)"
    ),
    "LeakyRelu": net(
        "s0 = conv(x, w0) s = LeakyRelu(s0) a1 = conv(s, w1) a2 = LeakyRelu(a1) "
        "b1 = conv(a2, w2) b2 = LeakyRelu(b1) a = Add(s, b2) y = conv(a, w4)"
    ),
}


@pytest.mark.parametrize("kind", SHORTCUTS)
def test_bottlenecks_of_other_kinds(kind):
    assert compiled(SHORTCUTS[kind], NAME).of("a").startswith("Float+Int8>")
    less = compiled(SHORTCUTS[kind], without_skips(NAME))
    assert less.of("a").startswith("Float+Float>")


def test_yolox(yolox):
    made = compiled(onnx.load(yolox), NAME)
    assert set(made.products.values()) == {"int8"}
    assert made.stored_in_float == set()
    shortcuts = [n.name for n in made.graph.nodes if n.op == "Add"]
    assert len(shortcuts) == 7
    assert all("Int8" in made.named(name).partition(">")[0] for name in shortcuts)


@pytest.mark.parametrize("kind", WITH_SHORTCUTS)
def test_the_branch_with_the_silu_has_no_pair_at_the_add(kind):
    made = built(kind)
    for node in made.graph.nodes:
        if node.op == "Add" and not in_head(node.name) and made.pairs_at(node.name):
            assert len(made.pairs_at(node.name)) == 1, node.name


@pytest.mark.parametrize("kind", KINDS)
def test_silu_is_whole(kind):
    made = built(kind)
    for node in made.graph.nodes:
        if node.op == "Sigmoid":
            assert not made.pairs_at(node.name)


@pytest.mark.parametrize("kind", ["v7", "v8"])
def test_upsample(kind):
    resize = "/up/Resize"
    assert resize not in built(kind).stored_in_float
    assert resize in built(kind, less="upsample").stored_in_float


@pytest.mark.parametrize("kind", KINDS)
def test_pools_are_int8(kind):
    made = built(kind)
    pools = [n.name for n in made.graph.nodes if n.op == "MaxPool"]
    assert len(pools) >= 3
    assert {made.named(pool) for pool in pools} == {"Int8>Int8"}


def test_distribution():
    assert built("v8").products[DFL] == "float"
    assert not built("v8").pairs_at(DFL)
    assert built("v8", less="distribution").products[DFL] == "int8"


@pytest.mark.parametrize(
    "body",
    [
        "s = Softmax<axis = 1>(x) y = Conv(s, w)",
        "s = Softmax<axis = 3>(x) t = Transpose<perm = [0,3,1,2]>(s) y = Conv(t, w)",
        "r = Constant<value_ints = [1,16,4,16]>() s = Softmax<axis = 3>(x) "
        "q = Reshape(s, r) y = Conv(q, w)",
        "s = Softmax<axis = 3>(x) y = MatMul(s, w)",
        "s = Softmax<axis = 3>(x) y = MatMul(s, wv)",
    ],
)
def test_other_forms_of_the_distribution(body):
    model = net(body, x="1,16,4,16", w="16,1" if "MatMul" in body else "1,16,1,1", wv="16")
    _, plan, _ = quantized(model, NAME)
    assert not plan.pairs


def test_products_with_a_memory_are_no_distribution():
    model = net("s = Softmax(x) y = MatMul(s, w)", x="4,64", w="64,32")
    assert compiled(model, NAME).of("y") == "int8"


@pytest.mark.parametrize("kind", KINDS)
def test_the_name_adds_nothing(kind):
    graph = Graph(prepare(yolo(kind)), digest="d")
    assert plan(graph, load("yolo")).pairs == plan(graph, load(NAME)).pairs


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_is_float(kind):
    made = built(kind)
    after = {"Sigmoid", "Split", "Sub", "Add", "Div", "Softmax"}
    decoded = [n for n in made.graph.nodes if n.name.startswith("/head/") and "." not in n.name]
    assert after <= {n.op for n in decoded}
    assert not any(made.pairs_at(n.name) for n in decoded)


def test_attention_is_int8():
    made = built("11")
    products = [n for n in made.graph.nodes if n.op == "MatMul"]
    assert [made.named(n.name) for n in products] == ["int8", "int8"]
    (softmax,) = [n for n in made.graph.nodes if n.op == "Softmax" and not in_head(n.name)]
    assert not made.pairs_at(softmax.name)


def test_box_format():
    body = "s = Softmax(x) b = MatMul(s, wv) y = MatMul(b, w)"
    model = net(body, x="1,100,4,16", wv="16", w="4,4")
    boxes = {"x": np.random.default_rng(1).uniform(-2, 2, (1, 100, 4, 16)).astype(np.float32)}

    def error(recipe):
        ran = [
            onnxruntime.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"])
            for m in (model, quantized(model, recipe)[2])
        ]
        exact, rounded = (session.run(None, boxes)[0] for session in ran)
        return np.abs(exact - rounded).max() / np.abs(exact).max()

    assert error(NAME) == 0
    assert error(without(NAME, "box-format")) > 0.003  # 2 of 640 pixels
