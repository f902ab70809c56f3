"""The recipe for transformers on small encoders: MatMul and Gemm, LayerNorm whole and in parts."""

from functools import cache

import numpy as np
import onnxruntime
import pytest

from .engine import compiled, quantized, without
from .table import net
from .transformer_like import LINEARS, transformer

NAME = "transformer"
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
    made = compiled(transformer("vit", form), without("trt-int8", "weighted-ops"))
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
