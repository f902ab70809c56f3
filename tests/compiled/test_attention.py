"""Attention by the default recipe: one INT8 kernel where there is one, else FP16, by its cost."""

from functools import cache

import numpy as np
import onnx
import pytest

import onnxq
from onnxq.cost.gpu import load
from onnxq.verification import tensorrt
from onnxq.verification.costing import cost_of

from .attention_block import block
from .engine import without

NAME = "trt-int8"
L4 = load("l4")
IN_FLOAT = """schema: 1
extends: trt-int8
rules:
  - {id: float, why: To compare with it., match: {attention: {}}, prefer_half: true}
"""
INT8 = {
    "heads of 32": {"tokens": 64, "size": 32},
    "a mask": {"tokens": 197, "mask": True},
    "512 keys": {"tokens": 100, "keys": 512},
}
# The rule that prefers FP16, and the kernel that there is.
HALF = {
    "513 keys": ({"tokens": 100, "keys": 513}, "attention-without-int8", "_gemm_mha_v2"),
    "heads of 128": ({"tokens": 197, "size": 128}, "attention-without-int8", "_gemm_mha_v2"),
}


class Engine:
    """An engine in which all without pairs is in half precision, or in FP32."""

    def __init__(self, model, recipe, folder, float_type):
        source = folder / "model.onnx"
        onnx.save(model, source)
        if "\n" in recipe:
            (folder / "recipe.yaml").write_text(recipe)
            recipe = folder / "recipe.yaml"
        statistics = onnxq.calibrate(source, [_sample(model, seed) for seed in range(2)])
        self.inserted = onnxq.insert(
            source, recipe, statistics, float_type=float_type, output=folder / "qdq.onnx"
        )
        compiled = tensorrt.compile_model(folder / "qdq.onnx")
        self.kernels = [x for x in compiled.layers.layers if x.is_attention]
        self.products = {op.node: op.dtype for op in compiled.ops}
        self.seconds = cost_of("qdq", compiled, L4).seconds

    @property
    def codes(self):
        return {d.code for d in self.inserted.diagnostics}


def _sample(model, seed):
    rng = np.random.default_rng(seed)
    return {i.name: _values(rng, i.type.tensor_type) for i in model.graph.input}


def _values(rng, kind):
    shape = [d.dim_value for d in kind.shape.dim]
    if kind.elem_type == onnx.TensorProto.BOOL:
        return np.tril(np.ones(shape, bool))
    return rng.normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """An engine of a block, each only once."""

    @cache
    def make(form, recipe, float_type):
        return Engine(block(**dict(form)), recipe, tmp_path_factory.mktemp("e"), float_type)

    return lambda form, recipe=NAME, half="fp16": make(tuple(form.items()), recipe, half)


@pytest.mark.parametrize("form", INT8)
def test_one_kernel_in_int8(built, form):
    engine = built(INT8[form])
    assert [k.precision for k in engine.kernels] == ["int8"]
    assert set(engine.products.values()) == {"int8"}
    assert engine.seconds < built(INT8[form], IN_FLOAT).seconds


@pytest.mark.parametrize("form", HALF)
def test_fp16_where_int8_has_no_kernel(built, form):
    choices, rule, kernel = HALF[form]
    engine, other = built(choices), built(choices, without(NAME, rule))
    assert {engine.products[n] for n in ("scores", "mixed")} == {"fp16"}
    assert {t for n, t in engine.products.items() if n not in ("scores", "mixed")} == {"int8"}
    assert [k.name.partition("_myl")[0] for k in engine.kernels] == [kernel]
    assert not [k for k in other.kernels if k.precision == "int8"]
    assert set(other.products.values()) == {"int8"}
    assert engine.seconds < other.seconds


def test_queries_keys_and_values_of_one_product(built):
    """The pair in front of the cut goes too: its DequantizeLinear would travel to the products."""
    form = {"tokens": 513, "fused": True}
    engine = built(form)
    assert [k.inputs[0].dtype for k in engine.kernels] == ["Half"]
    assert engine.seconds < 0.5 * built(form, without(NAME, "attention-without-int8")).seconds


def test_the_kernel_with_a_mask_of_booleans_is_known(built):
    engine = built({"tokens": 64, "guarded": True}, IN_FLOAT)
    assert [k.name.partition("_myl")[0] for k in engine.kernels] == ["_gemm_mha_v1"]
    assert {engine.products[n] for n in ("scores", "mixed")} == {"fp16"}


def test_in_a_float32_model_the_pairs_stay_and_it_is_said(built):
    form = {"tokens": 513}
    engine = built(form, half="fp32")
    assert set(engine.products.values()) == {"int8"}
    assert "OQ518" in engine.codes
    assert engine.seconds > built(form).seconds
    skipped = IN_FLOAT.replace("prefer_half: true", "skip: inputs")
    assert engine.seconds < built(form, skipped, "fp32").seconds


@pytest.mark.parametrize("form", [{"tokens": 513}, {"tokens": 197, "size": 128}], ids=str)
def test_fp8_has_the_kernel_for_all(built, form):
    engine = built(form, "trt-fp8")
    assert [k.precision for k in engine.kernels] == ["fp8"]
    assert set(engine.products.values()) == {"fp8"}
    assert "OQ518" not in built(form, "trt-fp8", "fp32").codes
