"""Claims of the recipes for embeddings: tables are stored small, the rows read are float."""

from functools import cache

import pytest

from onnxq.linting import lint, predict
from tests.onnx_text import model as onnx_model

from .engine import compiled, layers_of, quantized, without

RECIPES = {"trt-int8-embeddings": "Int8", "trt-int4-embeddings": "Int4"}
BODIES = {
    "two tables, added": "e = Gather(w, i) p = Gather(u, i) y = Add(e, p)",
    "a product behind": "e = Gather(w, i) y = MatMul(e, v)",
    "LayerNorm behind": "e = Gather(w, i) n = LayerNormalization(e, k) y = MatMul(n, v)",
    "the table is the last weight too": (
        "e = Gather(w, i) r = Relu(e) t = Transpose<perm = [1,0]>(w) y = MatMul(r, t)"
    ),
    "scaled rows": "e = Gather<axis = 0>(w, i) s = Mul(e, k) y = MatMul(s, v)",
}


def net(name):
    made = onnx_model(
        "g (int64[1,16] i) => (float y) <float[512,128] w, float[256,128] u, float[128,64] v, "
        f"float[128] k> {{ {BODIES[name]} }}"
    )
    made.graph.output[0].type.tensor_type.ClearField("shape")
    return made


@cache
def built(name, *recipes):
    return compiled(net(name), f"schema: 1\nextends: [{', '.join(recipes)}]\nrules: []\n")


def stored(made):
    """The types in which the kernels that gather store their tables."""
    return {
        constant.dtype
        for layer in made.layers.layers
        for constant in layer.constants
        if any(name.startswith("Gather_") for name in layer.nodes)
        and constant.name.startswith(("w_", "u_"))
        and "scale" not in constant.name
    }


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_table_is_stored_in_the_type_and_rows_are_float(name, recipe):
    made = built(name, recipe)
    assert stored(made) == {RECIPES[recipe]}
    assert stored(built(name, "half")) == {"Float"}
    assert set(made.products.values()) == ({"float"} if "MatMul" in BODIES[name] else set())
    assert not made.plan.diagnostics


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_behind_a_recipe_for_products(name, recipe):
    made = built(name, "trt-int8", recipe)
    assert stored(made) == {RECIPES[recipe]}
    assert set(made.products.values()) == ({"int8"} if "MatMul" in BODIES[name] else set())


def test_without_its_rule():
    less = without("trt-int8-embeddings", "embeddings")
    _, plan, _ = quantized(net("a product behind"), less)
    assert not plan.pairs


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_lint_calls_the_products_what_they_are(name, recipe):
    for others in ((), ("trt-int8",)):
        extends = ", ".join((*others, recipe))
        _, _, qdq = quantized(net(name), f"schema: 1\nextends: [{extends}]\nrules: []\n")
        layers = layers_of(qdq)
        foreseen = {op.node: op.precision for op in predict(qdq).ops}
        assert len(foreseen) == BODIES[name].count("MatMul")
        assert foreseen == {node: layers.precision(node) for node in foreseen}
        assert not lint(qdq)


def test_small_tables_stay():
    small = onnx_model(
        "g (int64[1,16] i) => (float y) <float[2,128] w, float[512,16] u> "
        "{ e = Gather(w, i) p = Gather(u, i) y = Concat<axis = 2>(e, p) }"
    )
    small.graph.output[0].type.tensor_type.ClearField("shape")
    _, plan, _ = quantized(small, "trt-int8-embeddings")
    assert not plan.pairs


def test_rows_that_are_no_whole_blocks():
    odd = onnx_model(
        "g (int64[1,16] i) => (float y) <float[512,72] w> { e = Gather(w, i) y = Relu(e) }"
    )
    odd.graph.output[0].type.tensor_type.ClearField("shape")
    _, plan, _ = quantized(odd, "trt-int4-embeddings")
    assert not plan.pairs
    assert [d.code for d in plan.diagnostics][:1] == ["OQ551"]
