"""Products whose result is cut into parts: a pair in front of the cut keeps them in INT8."""

import pytest
import yaml

from onnxq import shipped
from onnxq.linting import lint, predict

from .attention_like import KINDS, PARTS, attention
from .engine import compiled, without
from .table import net

NAME = "trt-int8"
FORMS = {
    **{f"{kind} {parts}": {"kind": kind, "parts": parts} for kind in KINDS for parts in PARTS},
    **{f"{kind} scaled": {"kind": kind, "scaled": True} for kind in KINDS},
    **{f"{kind} rotary": {"kind": kind, "rotary": True} for kind in KINDS},
    **{f"{kind} cached": {"kind": kind, "rotary": True, "cached": True} for kind in KINDS},
    "no bias": {"kind": "split", "bias": False},
    "no bias, gathered": {"kind": "gather", "bias": False},
    "Gemm": {"kind": "split", "gemm": True},
}
THREE_ALIKE = ("split", "slice", "heads first", "interleaved")
BEHIND_EACH_OTHER = ("gather", "unbind")
IN_FLOAT = {
    *(f"{kind} {form}" for kind in THREE_ALIKE for form in ("qkv", "scaled", "rotary", "cached")),
    *(f"{kind} {form}" for kind in BEHIND_EACH_OTHER for form in (*PARTS, "scaled")),
    "no bias",
    "no bias, gathered",
    "Gemm",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_pair_before_the_cut(form):
    made = compiled(attention(**FORMS[form]), NAME)
    assert set(made.products.values()) == {"int8"}
    assert not lint(made.qdq)


@pytest.mark.parametrize("form", FORMS)
def test_without_the_rule(form):
    made = compiled(attention(**FORMS[form]), without(NAME, "before-cut"))
    expected = "float" if form in IN_FLOAT else "int8"
    assert made.products["fused"] == expected
    assert [f.code for f in lint(made.qdq)] == (["OQ642"] if form in IN_FLOAT else [])
    told = {op.node: op.precision for op in predict(made.qdq).ops}
    assert told == made.products


@pytest.mark.parametrize("recipe", ["transformer", "yolo", "resnet", "trt-fp8"])
@pytest.mark.parametrize("kind", ["split", "gather"])
def test_all_recipes(kind, recipe):
    made = compiled(attention(kind), recipe)
    assert set(made.products.values()) == {"fp8" if recipe == "trt-fp8" else "int8"}


def test_without_the_rule_in_fp8():
    fp8 = yaml.safe_load(shipped.recipes()["trt-fp8"].read_text())["descriptors"]
    recipe = yaml.safe_load(without(NAME, "before-cut"))
    made = compiled(attention("split"), yaml.safe_dump({**recipe, "descriptors": fp8}))
    assert made.products["fused"] == "float"


UNCUT = {
    "heads": net(
        "n = Constant<value_ints = [1,16,6,32]>() p = MatMul(x, w) r = Reshape(p, n) "
        "t = Transpose<perm = [0,2,1,3]>(r) u = Transpose<perm = [0,2,3,1]>(r) y = MatMul(t, u)",
        x="1,16,64",
        w="64,192",
    ),
    "gated": net(
        "n = Constant<value_ints = [96,96]>() p = MatMul(x, w) g, u = Split<axis = 2>(p, n) "
        "s = Sigmoid(g) m = Mul(s, u) y = MatMul(m, w1)",
        x="1,16,64",
        w="64,192",
        w1="96,64",
    ),
    "outputs": net(
        "n = Constant<value_ints = [64,64,64]>() p = MatMul(x, w) "
        "y, y1, y2 = Split<axis = 2>(p, n)",
        x="1,16,64",
        w="64,192",
    ),
    "Conv": net(
        "n = Constant<value_ints = [64,64,64]>() h = Constant<value_ints = [1,2,32,64]>() "
        "p = Conv(x, w) a, b, c = Split<axis = 1>(p, n) q = Reshape(a, h) k = Reshape(b, h) "
        "v = Reshape(c, h) t = Transpose<perm = [0,1,3,2]>(q) s = MatMul(t, k) "
        "m = Softmax<axis = -1>(s) u = Transpose<perm = [0,1,3,2]>(m) y = MatMul(v, u)",
        x="1,64,8,8",
        w="192,64,1,1",
    ),
}


@pytest.mark.parametrize("form", UNCUT)
def test_what_has_no_need_of_it(form):
    made = compiled(UNCUT[form], NAME)
    assert set(made.products.values()) == {"int8"}
    assert "p" not in {pair.tensor for pair in made.plan.pairs}
    assert not lint(made.qdq)


EINSUM = net(
    "h = Constant<value_ints = [1,16,2,32]>() n = Constant<value_ints = [64,64,64]>() "
    'p = Einsum<equation = "bij,jk->bik">(x, w) a, b, c = Split<axis = 2>(p, n) '
    "d = Reshape(a, h) e = Reshape(b, h) f = Reshape(c, h) q = Transpose<perm = [0,2,1,3]>(d) "
    "k = Transpose<perm = [0,2,3,1]>(e) v = Transpose<perm = [0,2,1,3]>(f) s = MatMul(q, k) "
    "m = Softmax<axis = -1>(s) y = MatMul(m, v)",
    x="1,16,64",
    w="64,192",
)


def test_an_einsum():
    assert compiled(EINSUM, NAME).of("p") == "int8"
    less = compiled(EINSUM, without(NAME, "before-cut"))
    assert less.of("p") == "float"
    assert [f.code for f in lint(less.qdq)] == ["OQ642"]
