"""The default on small encoders: MatMul and Gemm, LayerNorm whole and in parts."""

from functools import cache

import numpy as np
import onnxruntime
import pytest

from onnxq.model.graph import Graph
from onnxq.model.preparing import prepare
from onnxq.planning.cascade import plan
from onnxq.planning.recipe import load

from .engine import compiled, quantized, without
from .table import net
from .transformer_like import LINEARS, transformer

NAME = "trt-int8"
ALL = [(kind, form, opset) for kind in ("vit", "bert") for form in LINEARS for opset in (13, 17)]


@cache
def built(kind, form, opset):
    return compiled(transformer(kind, form, opset), NAME)


def is_attention(made, node):
    return not any(made.graph.is_constant(i) for i in node.inputs)


@pytest.mark.parametrize("which", ALL, ids=str)
def test_products_with_weights_are_int8(which):
    made = built(*which)
    weights = {n for n in made.products if not is_attention(made, made.graph.by_name[n])}
    assert len(weights) == (14 if which[0] == "vit" else 13)
    assert {made.products[n] for n in weights} == {"int8"}
    assert not made.plan.diagnostics


@pytest.mark.parametrize("which", ALL, ids=str)
def test_attention_is_one_kernel_that_reads_queries_keys_and_values_in_int8(which):
    made = built(*which)
    softmaxes = [n.name for n in made.graph.nodes if n.op == "Softmax"]
    assert len(softmaxes) == 2
    mask = "Float+" if which[0] == "bert" else ""
    assert {made.named(n) for n in softmaxes} == {f"{mask}Int8+Int8+Int8>Int8"}
    assert not any(made.pairs_at(n) for n in softmaxes)


@pytest.mark.parametrize("form", LINEARS)
def test_without_pairs_attention_reads_float(form):
    rules = ("weighted-ops", "behind-layer-norm", "after-gelu")
    made = compiled(transformer("vit", form), without(NAME, *rules))
    assert all(t.dtype != "Int8" for layer in made.layers.layers for t in layer.inputs)
    (first, _) = [n.name for n in made.graph.nodes if n.op == "Softmax"]
    assert "Int8" not in made.named(first)


@pytest.mark.parametrize("which", ALL, ids=str)
def test_layer_norm_and_the_residual_stream_are_float(which):
    made = built(*which)
    norms = {"LayerNormalization", "ReduceMean", "Sub", "Pow", "Sqrt", "Erf", "Add"}
    nodes = [n for n in made.graph.nodes if n.op in norms]
    assert any(n.op == ("LayerNormalization" if which[2] == 17 else "Pow") for n in nodes)
    assert not any(made.pairs_at(n.name) for n in nodes)
    whole = [n.name for n in nodes if n.op in ("LayerNormalization", "Pow")]
    assert all("Int8" not in made.named(n).partition(">")[0] for n in whole)


@pytest.mark.parametrize("which", ALL, ids=str)
def test_after_gelu(which):
    made = built(*which)
    pairs = [p for p in made.plan.pairs if p.descriptor.method == "mse"]
    assert len(pairs) == 2
    for pair in pairs:
        (edge,) = pair.edges
        assert made.graph.by_name[edge.node].type in LINEARS


@pytest.mark.parametrize("which", ALL, ids=str)
def test_products_behind_a_layer_norm_clip_less(which):
    made = built(*which)
    convs = [n.name for n in made.graph.nodes if n.op == "Conv"]
    clipped = {
        edge.node
        for pair in made.plan.pairs
        for edge in pair.edges
        if pair.descriptor.percentile == 99.99 and pair.descriptor.method == "adaptive"
    }
    assert clipped == set(convs)


@pytest.mark.parametrize("norm", ["BatchNormalization(x, b, b, b, b)", "Relu(x)"])
def test_other_products_clip_as_all_do(norm):
    model = net(f"n = {norm} y = MatMul(n, w)", x="4,32", w="32,48", b="32")
    (pair,) = [p for p in quantized(model, NAME)[1].pairs if p.tensor == "n"]
    assert pair.descriptor.percentile == 99.99


ROTARY = net("m = MatMul(w, x) t = Transpose<perm = [1,0]>(m) k = Concat<axis = 1>(t, t) "
             "y = Cos(k) z = Sin(k)", x="1,128", w="32,1", out="y z")  # fmt: skip


def test_rotary():
    positions = {"x": np.arange(128, dtype=np.float32)[None] / 16}

    def error(recipe):
        exact, rounded = (
            onnxruntime.InferenceSession(
                m.SerializeToString(), providers=["CPUExecutionProvider"]
            ).run(["y"], positions)[0]
            for m in (ROTARY, quantized(ROTARY, recipe)[2])
        )
        return np.abs(exact - rounded).max()

    assert error(NAME) == 0
    assert error(without(NAME, "rotary")) > 0.1


def test_layers_in_front_of_an_angle_are_int8():
    model = net("h = MatMul(x, w) r = Relu(h) a = MatMul(r, w1) y = Cos(a) z = Sin(a)",
                x="16,64", w="64,64", w1="64,32", out="y z")  # fmt: skip
    assert compiled(model, NAME).of("a") == "int8"


def test_the_name_adds_nothing():
    graph = Graph(prepare(transformer("bert", "Gemm", 13)), digest="d")
    assert plan(graph, load("transformer")).pairs == plan(graph, load(NAME)).pairs
