"""Claims of trt-fp8, of int8 beside fp8, and of types that must not meet."""

import onnx
import pytest

from onnxq.diagnostics import OnnxqError
from onnxq.linting import lint, predict
from onnxq.planning.cascade import draft
from onnxq.verification.compiled import OpCount
from onnxq.verification.tensorrt import CompileOptions, compile_report

from . import engine
from .engine import compiled, quantized, without
from .table import BRANCH_READ, POOL, RESIDUAL, net

NAME = "trt-fp8"
ALL_FP8 = {
    "Conv": net("y = conv(x, w)"),
    "depthwise": net("y = Conv<group = 32>(x, w)", w="32,1,3,3"),
    "Conv1d": net("y = Conv(x, w)", x="1,32,16", w="32,32,3"),
    "stem": net("y = conv(x, w)", x="1,3,16,16", w="32,3,3,3"),
    "Gemm": net("y = Gemm<transB = 1>(x, w)", x="4,64", w="48,64"),
    "MatMul": net("y = MatMul(x, w)", x="4,64", w="64,48"),
    "residual": RESIDUAL,
    "Concat": BRANCH_READ,
}


def extended(rule):
    """The recipe with one more rule."""
    return f"schema: 1\nextends: {NAME}\nrules:\n- {rule}\n"


@pytest.mark.parametrize("name", ALL_FP8)
def test_weighted_ops(name):
    assert set(compiled(ALL_FP8[name], NAME).products.values()) == {"fp8"}


def test_the_rules_of_the_base_recipe_hold():
    assert compiled(RESIDUAL, NAME).of("a") == "FP8+Float>FP8"
    low = "descriptors: {act: {dtype: fp8e4m3, method: percentile, percentile: 99}}\n"
    untied = extended("{id: untie, why: t, match: {op: Concat}, share_scale: []}")
    assert compiled(BRANCH_READ, f"schema: 1\nextends: {NAME}\n{low}").of("a") == "Float>FP8"
    assert compiled(BRANCH_READ, f"{low}{untied}").of("a") == "Float>FP8+FP8"


POOLED = net(
    f"c = conv(x, w0) r = Relu(c) p = MaxPool<{POOL}>(r) y = conv(p, w1) z = conv(r, w2)",
    out="y z",
)


def test_max_pool():
    made, tied = compiled(POOLED, NAME), compiled(POOLED, without(NAME, "max-pool"))
    assert [g.tensors for g in made.plan.groups] == []
    assert [set(g.tensors) for g in tied.plan.groups] == [{"p", "r"}]
    for one in (made, tied):
        assert (one.of("p"), one.of("r")) == ("Float>Float", "Float>FP8+Float")


WIDE = {
    "stem": net("y = Conv<strides = [2,2]>(x, w)", x="1,3,32,32", w="32,3,7,7"),
    "patches": net("y = Conv<strides = [16,16]>(x, w)", x="1,3,32,32", w="32,3,16,16"),
    "depthwise": net("y = Conv<group = 32>(x, w)", w="32,1,7,7"),
    "33 taps": net("y = Conv(x, w)", x="1,32,64", w="32,32,33"),
    "three dimensions": net("y = Conv(x, w)", x="1,32,8,8,8", w="32,32,4,4,4"),
}
NOT_WIDE = {
    "32 taps": net("y = Conv(x, w)", x="1,32,64", w="32,32,32"),
    "5x6": net("y = Conv(x, w)", w="32,32,5,6"),
    "three dimensions": net("y = Conv(x, w)", x="1,32,8,8,8", w="32,32,2,4,4"),
}
WITH_WIDE = "schema: 1\nextends: trt-fp8\nrules:\n- {id: all, why: t, match: {op: Conv}, quantize: "
WITH_WIDE += "{inputs: act, weights: weight}}\n"


@pytest.mark.parametrize("name", WIDE)
def test_wide_filters_stay_in_float(name):
    assert not compiled(WIDE[name], NAME).plan.pairs
    made = compiled(WIDE[name], WITH_WIDE)
    assert made.of("y") == "float"
    assert [f.code for f in lint(made.qdq)] == ["OQ643"]
    assert [op.precision for op in predict(made.qdq).ops] == ["float"]


@pytest.mark.parametrize("name", NOT_WIDE)
def test_filters_of_up_to_32_taps(name):
    made = compiled(NOT_WIDE[name], NAME)
    assert made.of("y") == "fp8"
    assert not lint(made.qdq)


def test_conv_transpose_is_float_in_tensorrt_rtx():
    up = net("y = ConvTranspose<strides = [2,2]>(x, w)", w="32,32,2,2")
    assert compiled(up, NAME).of("y") == "float"


MIXED = net("a = conv(x, w0) y = conv(a, w1)")
INT8 = """{id: int8, why: t, match: {name: Conv_a}, quantize:
    {inputs: {method: max}, weights: {granularity: per_channel, method: max}}}"""


def test_int8_and_fp8_in_one_model():
    made = compiled(MIXED, extended(INT8))
    assert (made.of("a"), made.of("y")) == ("int8", "fp8")


SIDES = {
    "int8 by fp8": "{inputs: {method: max}, weights: {dtype: fp8e4m3}}",
    "fp8 by int8": "{inputs: {dtype: fp8e4m3}, weights: {method: max}}",
    "int8 by int4": "{inputs: {method: max}, weights: "
    "{dtype: int4, granularity: per_block, block_size: 64}}",
}


@pytest.mark.parametrize("name", SIDES)
def test_two_types_in_one_product_are_refused_and_do_not_build(name, tmp_path, monkeypatch):
    rules = f"- {{id: r, why: t, match: {{op: MatMul}}, quantize: {SIDES[name]}}}"
    recipe = f"schema: 1\nrules:\n{rules}\n"
    product = net("y = MatMul(x, w)", x="1,4,256", w="256,48")
    with pytest.raises(OnnxqError, match="OQ550"):
        quantized(product, recipe)
    monkeypatch.setattr(engine, "plan", draft)
    _, _, made = quantized(product, recipe)
    assert [f.code for f in lint(made)] == ["OQ634", *(["OQ641"] if "int4" in name else [])]
    onnx.save(made, tmp_path / "m.onnx")
    with pytest.raises(OnnxqError, match="OQ602"):
        compile_report(tmp_path / "m.onnx")


def test_targets_without_fp8_do_not_build(tmp_path):
    _, _, made = quantized(ALL_FP8["Conv"], NAME)
    onnx.save(made, tmp_path / "m.onnx")
    report = compile_report(tmp_path / "m.onnx", CompileOptions(targets=((8, 9),)))
    assert report.counts == {"Conv": OpCount(int8=0, fp8=1, int4=0, total=1)}
    with pytest.raises(OnnxqError, match="fp8"):
        compile_report(tmp_path / "m.onnx", CompileOptions(targets=((8, 6), (8, 9))))
