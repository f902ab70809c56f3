"""Products of other forms than a MatMul of matrices: Einsums, vectors, constant operands."""

import onnx
import pytest

from onnxq.linting import lint, predict
from onnxq.verification.tensorrt import compile_report
from tests.onnx_text import model

from .engine import compiled, without
from .table import net

NAME = "trt-int8"
EINSUMS = {
    "channels on the last axis": ("bij,jk->bik", "2,16,64", "64,48"),
    "channels on the first axis": ("bij,kj->bik", "2,16,64", "48,64"),
    "two sums": ("abcd,cde->abe", "1,16,4,8", "4,8,32"),
    "channels on two axes": ("abc,cde->abde", "1,16,32", "32,4,8"),
    "a batch of weights": ("bhij,hjk->bhik", "2,4,16,32", "4,32,24"),
    "an ellipsis": ("...ij,jk->...ik", "2,16,64", "64,48"),
    "no result named": ("bij,jk", "2,16,64", "64,48"),
    "a turned result": ("bij,jk->kbi", "2,16,64", "64,48"),
    "a 1x1 Conv": ("bchw,oc->bohw", "1,32,8,8", "48,32"),
    "a vector": ("bij,j->bi", "2,16,64", "64"),
}
IN_FLOAT = {
    "a sum over one operand": 'Einsum<equation = "bij,jk->bk">(x, w)',
    "a label twice": 'Einsum<equation = "bii,ik->bk">(t, w0)',
    "three operands": 'Einsum<equation = "bij,jk,kl->bil">(x, w, w1)',
}


def einsum(equation, x, w):
    return net(f'y = Einsum<equation = "{equation}">(x, w)', x=x, w=w)


@pytest.mark.parametrize("form", EINSUMS)
def test_einsum(form):
    made = compiled(einsum(*EINSUMS[form]), NAME)
    assert made.of("y") == "int8"
    assert not lint(made.qdq)
    assert not made.plan.diagnostics


@pytest.mark.parametrize("recipe", ["transformer", "trt-fp8"])
def test_einsums_in_other_recipes(recipe):
    made = compiled(einsum(*EINSUMS["channels on the last axis"]), recipe)
    assert made.of("y") == ("fp8" if recipe == "trt-fp8" else "int8")


def test_einsum_without_the_rule():
    made = compiled(einsum(*EINSUMS["two sums"]), without(NAME, "weighted-ops"))
    assert made.of("y") == "float"


def test_attention_of_einsums():
    body = (
        'q = Einsum<equation = "abc,cde->abde">(x, w0) '
        'k = Einsum<equation = "abc,cde->abde">(x, w1) '
        's = Einsum<equation = "aecd,abcd->acbe">(k, q) p = Softmax<axis = -1>(s) '
        'o = Einsum<equation = "acbe,aecd->abcd">(p, k) '
        'y = Einsum<equation = "abcd,cde->abe">(o, w2)'
    )
    heads = {f"w{i}": "32,4,8" for i in (0, 1)} | {"w2": "4,8,32"}
    made = compiled(net(body, x="1,16,32", **heads), "transformer")
    assert set(made.products.values()) == {"int8"}


@pytest.mark.parametrize("form", IN_FLOAT)
def test_other_einsums_stay_in_float_and_are_told(form):
    turn = "n = Constant<value_ints = [2,32,32]>() t = Reshape(x, n) "
    body = (turn if "(t," in IN_FLOAT[form] else "") + f"z = {IN_FLOAT[form]} y = Relu(z)"
    made = compiled(net(body, x="2,16,64", w="64,48", w0="32,24", w1="48,24"), NAME)
    assert made.plan.pairs == ()
    assert {d.code for d in made.plan.diagnostics} == {"OQ205", "OQ220"}
    (op,) = predict(made.qdq).ops
    assert (op.op, op.precision) == ("Einsum", "float")
    assert made.of("z") == "float"


VECTORS = {
    "right": net("y = MatMul(x, w)", x="8,16", w="16"),
    "left": net("y = MatMul(w, x)", x="16,8", w="16"),
    "a batch": net("y = MatMul(x, w)", x="2,3,8,16", w="16"),
}


@pytest.mark.parametrize("side", VECTORS)
def test_a_vector_has_one_scale(side):
    made = compiled(VECTORS[side], NAME)
    assert made.of("y") == "int8"
    assert not lint(made.qdq)


COMPUTED_FILTERS = {
    "of a constant": (net("f = Relu(x) y = Conv(w, f)", x="32,32,3,3", w="1,32,16,16"), "int8"),
    "transposed": (
        net("f = Relu(x) y = ConvTranspose(w, f)", x="32,32,3,3", w="1,32,9,9"),
        "float",
    ),
}


@pytest.mark.parametrize("form", COMPUTED_FILTERS)
def test_computed_filters(form):
    proto, expected = COMPUTED_FILTERS[form]
    made = compiled(proto, NAME)
    assert made.of("y") == expected
    assert not [f for f in lint(made.qdq) if f.code != "OQ638"]


OF_CONSTANTS = {
    "Conv": net("c = Conv(w, w0) m = Mul(x, c) y = conv(m, w1)", x="1,32,14,14", w="1,32,16,16"),
    "MatMul": net("c = MatMul(w, w0) y = MatMul(x, c)", x="8,16", w="16,24", w0="24,32"),
    "Gemm": net("c = Gemm(w, w0) y = Add(x, c)", x="8,16", w="8,24", w0="24,16"),
}


@pytest.mark.parametrize("op", OF_CONSTANTS)
def test_products_of_constants_have_no_pair(op, tmp_path):
    made = compiled(OF_CONSTANTS[op], NAME)
    assert not made.pairs_at(f"{op}_c")
    assert not [f for f in lint(made.qdq) if f.code != "OQ621"]
    onnx.save(made.qdq, tmp_path / "m.onnx")
    assert f"{op}_c" not in {o.node for o in compile_report(tmp_path / "m.onnx").ops}


def recurrent(op, gates, rest=""):
    return (
        f"t (float[9,2,16] x) => (float y) <float[1,{gates * 32},16] w, "
        f"float[1,{gates * 32},32] r, float[32,8] o> "
        f"{{ h, last{rest} = {op}<hidden_size = 32>(x, w, r) y = MatMul(h, o) }}"
    )


ATTENTION = (
    "t (float[1,64,32] x) => (float y) <float[32,32] o, float[32,32] p> { q = MatMul(x, o) "
    "a = Attention<q_num_heads = 4, kv_num_heads = 4>(q, x, x) y = MatMul(a, p) }"
)
KEPT = {
    "LSTM": (recurrent("LSTM", 4, ", c"), 17, 18 * 128 * 48, 18 * 32 * 8),
    "GRU": (recurrent("GRU", 3), 17, 18 * 96 * 48, 18 * 32 * 8),
    "RNN": (recurrent("RNN", 1), 17, 18 * 32 * 48, 18 * 32 * 8),
    "Attention": (ATTENTION, 23, 2 * 64 * 64 * 32, 2 * 64 * 32 * 32),
}


@pytest.mark.parametrize("op", KEPT)
def test_products_without_an_int8_form_count(op, tmp_path):
    text, opset, in_float, in_int8 = KEPT[op]
    made = compiled(model(text, opset=opset), NAME)
    assert [d.code for d in made.plan.diagnostics] == ["OQ220"]
    onnx.save(made.qdq, tmp_path / "m.onnx")
    report = compile_report(tmp_path / "m.onnx")
    assert report.int8_macs == pytest.approx(in_int8 / (in_float + in_int8))
    (kept,) = [o for o in report.ops if o.op == op]
    assert (kept.precision, kept.expected, kept.dtype) == ("float", "float", "fp32")
    assert kept.reason == f"TensorRT has no INT8 form of {op}"
