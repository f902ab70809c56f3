"""The recipe for ResNet and its successors: every shortcut has its pair, and only the shortcut."""

from functools import cache

import pytest
import torch

from tests.e2e.mobilenet_v2 import MobileNetV2

from .classifier_like import KINDS, classifier
from .engine import compiled, quantized, without, without_skips
from .exported import exported
from .table import net

NAME = "resnet"
RESNETS = ("basic", "bottleneck", "pooled")
INVERTED = tuple(k for k in KINDS if k not in RESNETS)


@cache
def built(kind, opset=17):
    return compiled(classifier(kind, opset), NAME)


def adds(graph):
    return [n for n in graph.nodes if n.op == "Add"]


@pytest.mark.parametrize("opset", [13, 17])
@pytest.mark.parametrize("kind", KINDS)
def test_every_product_is_int8_and_every_rule_sure(kind, opset):
    made = built(kind, opset)
    assert set(made.products.values()) == {"int8"}
    assert not made.plan.diagnostics


@pytest.mark.parametrize("opset", [13, 17])
@pytest.mark.parametrize("kind", KINDS)
def test_one_input_of_every_add_has_a_pair(kind, opset):
    made = built(kind, opset)
    assert [len(made.pairs_at(n.name)) for n in adds(made.graph)] == [1, 1, 1]


@pytest.mark.parametrize("kind", RESNETS)
def test_identity_and_downsample_adds(kind):
    made = built(kind)
    first, down, last = (n.name for n in adds(made.graph))
    assert [made.named(name).partition(">")[0] for name in (first, last)] == ["Float+Int8"] * 2
    # What TensorRT-RTX shows of both branches of a downsample block is what their Convs write.
    assert made.named(down).partition(">")[0] == "Float+Float"


@pytest.mark.parametrize("kind", RESNETS)
def test_downsample_add_has_its_pair_on_the_shortcut(kind):
    made = built(kind)
    (shortcut,) = made.pairs_at(adds(made.graph)[1].name)
    assert "/shortcut/" in shortcut
    _, plan, _ = quantized(classifier(kind), without(NAME, "downsample-add"))
    assert shortcut not in {p.tensor for p in plan.pairs}


@pytest.mark.parametrize("kind", INVERTED)
def test_inverted_residuals_read_int8(kind):
    made = built(kind)
    told = [made.named(n.name).partition(">")[0] for n in adds(made.graph)]
    assert told == ["Float+Int8"] * 3


@pytest.mark.parametrize("kind", ["mobilenet_v3", "efficientnet"])
def test_without_the_pair_on_the_skip(kind):
    made = compiled(classifier(kind), without_skips(NAME))
    first = adds(made.graph)[0].name
    assert made.named(first).partition(">")[0] == "Float+Float"


GATED = net(
    "s0 = conv(x, w0) s = Relu(s0) b = conv(s, w1) g = GlobalAveragePool(b) f = Conv(g, w2) "
    "h = Sigmoid(f) m = Mul(b, h) a = Add(m, s) r = Relu(a) y = conv(r, w3)",
    w2="32,32,1,1",
)


def test_gated_residual():
    assert "Int8" in compiled(GATED, NAME).of("a").partition(">")[0]
    less = compiled(GATED, without_skips(NAME))
    assert "Int8" not in less.of("a").partition(">")[0]


def test_all_ten_shortcuts_of_mobilenet_v2():
    model = exported(MobileNetV2, torch.zeros(1, 3, 64, 64))
    graph, plan, _ = quantized(model, NAME)
    assert len(adds(graph)) == 10
    assert not plan.diagnostics
    for node in adds(graph):
        (pair,) = [p for p in plan.pairs if node.name in {e.node for e in p.edges}]
        others = {graph.by_name[e.node].op for e in pair.edges if e.node != node.name}
        assert others == {"Conv"}  # the block's first Conv reads the same pair
