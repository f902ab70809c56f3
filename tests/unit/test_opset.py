"""The opset of the file: as asked for, with the same results bit for bit."""

import numpy as np
import onnx
import pytest

import onnxq
from onnxq.diagnostics import OnnxqError
from onnxq.planning.recipe import Recipe
from tests.inserting import computed
from tests.onnx_text import model

MODELS = {
    "ops whose axes became inputs": """
    g (float[1,4,8,8] x) => (float[1,4] y, float[1,2,8,8] s, float[1,2,8,8] t)
    <float[4,4,1,1] w> {
        a = Conv (x, w) n = ReduceL2 <axes = [1]> (a) b = Div (a, n) s, t = Split <axis = 1> (b)
        y = ReduceMax <axes = [2, 3], keepdims = 0> (b)
    }""",
    "a branch": """
    g (float[2,8] x, bool c) => (float[2,1] y) <float[8,8] w> {
        a = MatMul (x, w)
        y = If (c) <
            then_branch = t () => (float[2,1] p) { [max] p = ReduceMax <axes = [1]> (a) },
            else_branch = e () => (float[2,1] q) { [min] q = ReduceMin <axes = [1]> (a) }>
    }""",
    "softmax and resize": """
    g (float[1,4,4,4] x) => (float[1,4,8,8] y) <float[4,4,1,1] w, float[4] k = {1, 1, 2, 2}> {
        a = Conv (x, w) b = Softmax <axis = 1> (a) y = Resize <mode = "nearest"> (b, , k)
    }""",
}
WEIGHTED = {"op": ["Conv", "MatMul"]}


def recipe(**weights):
    fixed = {"inputs": {"amax": 4.0}, "weights": weights or {"method": "max"}}
    rules = [{"id": "r", "why": "t", "match": WEIGHTED, "quantize": fixed}]
    return Recipe.from_dict({"schema": 1, "rules": rules})


def opset(proto):
    return proto.opset_import[0].version


def inputs(proto):
    rng = np.random.default_rng(0)
    shapes = {
        i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in proto.graph.input
    }
    return {
        name: rng.normal(size=shape).astype(np.float32) if shape else np.array(True)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("version", [14, 18, 21, 25])
@pytest.mark.parametrize("name", MODELS)
def test_results_are_the_same_bit_for_bit(name, version):
    text = model(MODELS[name], opset=13)
    usual, raised = (onnxq.insert(text, recipe(), opset=n) for n in (None, version))
    assert (opset(usual.proto), opset(raised.proto)) == (13, version)
    assert raised.preparation.outputs == "same"
    assert raised.preparation.purpose == "--opset"
    onnx.checker.check_model(raised.proto, full_check=True)
    sample = inputs(text)
    for before, after in zip(*(computed(r.proto, **sample) for r in (usual, raised)), strict=True):
        np.testing.assert_array_equal(before, after)


def test_what_the_pairs_need_is_not_asked_for():
    text = model(MODELS["ops whose axes became inputs"], opset=13)
    fp8 = Recipe.from_dict(
        {
            "schema": 1,
            "rules": [
                {
                    "id": "r",
                    "why": "t",
                    "match": WEIGHTED,
                    "quantize": {"all": {"dtype": "fp8e4m3", "amax": 4.0}},
                }
            ],
        }
    )
    assert opset(onnxq.insert(text, fp8, opset=19).proto) == 19
    assert onnxq.insert(text, fp8, opset=19).preparation.purpose == ""
    assert opset(onnxq.insert(text, fp8, opset=20).proto) == 20
    with pytest.raises(OnnxqError) as refused:
        onnxq.insert(text, fp8, opset=18)
    assert [d.code for d in refused.value.diagnostics] == ["OQ515"]


@pytest.mark.parametrize("version", [-1, 0, 12, 26, 1000])
def test_opsets_that_cannot_be(version):
    text = model(MODELS["a branch"], opset=13)
    for verb in (onnxq.insert, onnxq.quantize):
        named = {"plan": recipe()} if verb is onnxq.insert else {"recipe": recipe()}
        with pytest.raises(OnnxqError) as refused:
            verb(text, **named, opset=version)
        assert [d.code for d in refused.value.diagnostics] == ["OQ515"]


def test_half_precision_at_a_newer_opset():
    text = model(MODELS["softmax and resize"], opset=13)
    half = onnxq.insert(text, recipe(), float_type="fp16", opset=21)
    assert opset(half.proto) == 21
    assert half.half_preparation is None
    computed(half.proto, **inputs(text))


def test_a_newer_model_is_not_lowered():
    text = model(MODELS["softmax and resize"], opset=18)
    result = onnxq.insert(text, recipe(), opset=17)
    assert opset(result.proto) == 18
    assert [d.code for d in result.diagnostics] == ["OQ516"]
