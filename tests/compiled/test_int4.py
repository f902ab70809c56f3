"""Claims of trt-int4-weights: which products read INT4 in the engine, and which do not."""

import pytest

from .engine import compiled, without
from .table import net

NAME = "trt-int4-weights"
PRODUCTS = {
    "MatMul": net("y = MatMul(x, w)", x="4,256", w="256,48"),
    "3-D": net("y = MatMul(x, w)", x="2,4,384", w="384,384"),
    "batched weights": net("y = MatMul(x, w)", x="3,4,256", w="3,256,48"),
    "two blocks": net("y = MatMul(x, w)", x="4,64", w="64,48"),
    "Gemm": net("y = Gemm(x, w)", x="4,256", w="256,48"),
    "Gemm transB": net("y = Gemm<transB = 1>(x, w)", x="4,256", w="48,256"),
}


def types_read(made):
    return {t.dtype for layer in made.layers.layers for t in layer.constants}


@pytest.mark.parametrize("name", PRODUCTS)
def test_int4_weights(name):
    made = compiled(PRODUCTS[name], NAME)
    assert set(made.products.values()) == {"int4"}
    assert not made.plan.diagnostics
    assert "Int4" not in types_read(compiled(PRODUCTS[name], without(NAME, "int4-weights")))


@pytest.mark.parametrize("size", [64, 128])
def test_larger_blocks(size):
    recipe = without(NAME).replace("block_size: 32", f"block_size: {size}")
    made = compiled(PRODUCTS["MatMul"], recipe)
    assert made.of("y") == "int4"
    assert {p.descriptor.block_size for p in made.plan.pairs} == {size}


ONE_BLOCK = {
    "MatMul": net("y = MatMul(x, w)", x="4,32", w="32,48"),
    "Gemm": net("y = Gemm(x, w)", x="4,32", w="32,48"),
    "Gemm transB": net("y = Gemm<transB = 1>(x, w)", x="4,32", w="48,32"),
}


@pytest.mark.parametrize("name", ONE_BLOCK)
def test_one_block(name):
    assert types_read(compiled(ONE_BLOCK[name], NAME)) == {"Float"}
    made = compiled(ONE_BLOCK[name], without(NAME, "one-block"))
    assert "float" in made.products.values()
    dequantizing = [x for x in made.layers.layers if "Int4" in {t.dtype for t in x.constants}]
    assert [(x.kind, x.inputs) for x in dequantizing] == [("kgen", ())]


def test_a_weight_on_the_left_stays_in_float():
    made = compiled(net("y = MatMul(w, x)", x="256,4", w="192,256"), NAME)
    assert [d.code for d in made.plan.diagnostics] == ["OQ206"]
    assert made.of("y") == "float"
