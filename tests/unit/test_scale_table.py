"""Scales by tensor name: looked up, listed and replaced before insertion."""

from dataclasses import replace
from fractions import Fraction

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from onnxq.diagnostics import OnnxqError
from onnxq.insertion.insert import insert
from onnxq.insertion.scales import Scales, compute_scales
from onnxq.model.graph import Graph
from onnxq.model.metadata import metadata_of
from onnxq.model.preparing import name_nodes
from onnxq.render.reports import recipe_of as shown_recipe
from tests.inserting import ranged
from tests.onnx_text import model
from tests.planning import planned, rule

TEXT = """
g (float[1,4,8,8] images) => (float[1,4,8,8] z) <float[4,4,1,1] w, float[4,8,1,1] v> {
    [first] a = Conv (images, w)
    [cat] b = Concat <axis = 1> (images, a)
    [second] z = Conv (b, v)
}
"""
CONVS = rule("{op: Conv}", id="convs", quantize="{inputs: act, weights: weight}")
CAT = rule("{op: Concat}", id="cat", share_scale="[inputs, outputs]")
CATS_OWN = rule("{op: Concat}", id="own", quantize="{inputs: other}")
HALF = TEXT.replace("float[", "float16[")
DEFAULT = float(np.float32(4 / 127))


def computed_scales(folder, *rules, text=TEXT):
    """The model, a plan by some rules, and its scales for activations from -4 to 4."""
    proto = name_nodes(model(text))
    graph = Graph(proto, digest="d")
    plan = planned(folder, graph, *(rules or (CONVS,)))
    return proto, plan, compute_scales(graph, plan, ranged(plan))


def stored(proto, name):
    return next(t for t in proto.graph.initializer if t.name == name)


def messages(action):
    """The messages of the OQ419 that an action raises."""
    with pytest.raises(OnnxqError) as caught:
        action()
    assert {d.code for d in caught.value.diagnostics} == {"OQ419"}
    return [f"{d.message}; {d.fix}" for d in caught.value.diagnostics]


def test_lookup_by_tensor_and_by_pair(tmp_path):
    _, plan, scales = computed_scales(tmp_path)
    assert list(scales) == ["images", "w", "b", "v"]
    assert len(scales) == 4
    assert scales["images"] == scales["images", "first"] == DEFAULT
    assert isinstance(scales["images"], float)
    assert scales["w"].shape == (4,)
    assert "images" in scales
    assert ("images", "first") in scales
    assert plan.pairs[0] in scales
    assert "a" not in scales
    assert scales[plan.pairs[0]].shape == ()
    np.testing.assert_array_equal(dict(scales.items())["w"], scales["w"])


def test_a_tensor_with_two_scales_needs_the_consumer(tmp_path):
    _, _, scales = computed_scales(tmp_path, CONVS, CATS_OWN)
    assert "images" in list(scales)  # both pairs have one scale as yet
    changed = scales.replaced(("images", "cat"), 0.5)
    keys = [("images", "first"), ("images", "cat")]
    assert [key for key in changed if "images" in key] == keys
    assert [changed[key] for key in keys] == [DEFAULT, 0.5]
    (message,) = messages(lambda: changed["images"])
    assert message == (
        "'images' has pairs with different scales, for 'first', 'cat'; "
        "name the consumer node too: ('images', 'first')"
    )
    assert changed.replaced("images", 0.25)["images"] == 0.25


def test_the_listing(tmp_path):
    _, _, scales = computed_scales(tmp_path, CONVS, CATS_OWN)
    _, _, images, weight, *_, count = repr(scales).splitlines()
    assert images.split() == ["images", "0.0315"]
    assert weight.split()[0] == "w"
    assert weight.split()[-1] == "4"
    assert count == "6 pairs"
    changed = scales.replaced(("images", "cat"), 0.5)
    _, _, first, second, *_, count = str(changed).splitlines()
    assert first.split() == ["images", "for", "first", "0.0315"]
    assert second.split() == ["images", "for", "cat", "0.5"]
    assert count == "6 pairs; replaced by hand: images"


def test_scales_as_plain_values(tmp_path):
    _, _, scales = computed_scales(tmp_path)
    values = scales.replaced("images", 0.5).to_dict()
    images, weight, *_ = values["pairs"]
    assert (images["tensor"], images["nodes"]) == ("images", ["first"])
    assert images["scale"] == 0.5
    assert weight["scale"] == scales["w"].tolist()
    assert values["edited"] == ["images"]


NUMBERS = [
    0.02, np.float32(0.02), np.float64(0.02), np.array(0.02), np.array([0.02], np.float32), [0.02],
    Fraction(1, 50),
]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_any_number_becomes_a_float32_of_rank_0(tmp_path, number):
    proto, plan, scales = computed_scales(tmp_path)
    by_hand = replace(scales, by_pair={**scales.by_pair, plan.pairs[0]: number})
    for changed in (scales.replaced("images", number), by_hand):
        assert changed["images"] == float(np.float32(0.02))
        scale = stored(insert(proto, plan, changed), "images_scale")
        assert (scale.data_type, list(scale.dims)) == (TensorProto.FLOAT, [])
        assert numpy_helper.to_array(scale) == np.float32(0.02)


@pytest.mark.parametrize("number", [1, np.int8(1), ml_dtypes.bfloat16(1)], ids=repr)
def test_integers_and_other_float_types(tmp_path, number):
    _, _, scales = computed_scales(tmp_path)
    assert scales.replaced("images", number)["images"] == 1


def test_the_replaced_scale_is_what_the_model_computes_with(tmp_path):
    proto, plan, scales = computed_scales(tmp_path)
    channels = np.float32([0.1, 0.2, 0.3, 0.4])
    changed = scales.replaced({"images": 0.25, "w": channels.tolist()})
    made = insert(proto, plan, changed)
    onnx.checker.check_model(made, full_check=True)
    np.testing.assert_array_equal(numpy_helper.to_array(stored(made, "w_scale")), channels)
    w = numpy_helper.to_array(stored(proto, "w"))
    expected = np.clip(np.rint(w / channels.reshape(4, 1, 1, 1)), -128, 127)
    np.testing.assert_array_equal(numpy_helper.to_array(stored(made, "w_quantized")), expected)
    assert scales["images"] == DEFAULT  # the scales replaced from are as they were


def test_a_share_group_changes_as_one(tmp_path):
    _, plan, scales = computed_scales(tmp_path, CONVS, CAT)
    assert {p.tensor for p in plan.pairs if p.group is not None} == {"images", "b"}
    changed = scales.replaced("b", 0.5)
    assert changed["images"] == changed["b"] == 0.5
    assert changed.edited == ("images", "b")
    assert scales.replaced({"b": 0.5, "images": 0.5})["b"] == 0.5
    (message,) = messages(lambda: scales.replaced({"b": 0.5, "images": 0.25}))
    assert message.startswith("'b' and 'images' share one scale and are given two; ")


def test_a_float16_tensor_has_a_float16_scale(tmp_path):
    proto, plan, scales = computed_scales(tmp_path, text=HALF)
    made = insert(proto, plan, scales.replaced("images", 0.02))
    assert stored(made, "images_scale").data_type == TensorProto.FLOAT16
    (message,) = messages(lambda: scales.replaced("images", 1e-9))
    assert "not positive and finite in float16: 1e-09" in message


@pytest.mark.parametrize("number", [0, -0.1, np.nan, np.inf, 1e39, 1e-50, None])
def test_a_number_that_is_no_scale(tmp_path, number):
    _, _, scales = computed_scales(tmp_path)
    (message,) = messages(lambda: scales.replaced("images", number))
    assert "'images' is not positive and finite in float32" in message
    assert message.endswith("divide the largest magnitude by 127")
    channels = [0.1, 0.1, number, 0.1]
    (message,) = messages(lambda: scales.replaced("w", channels))
    assert "'w' is not positive and finite in float32" in message


@pytest.mark.parametrize("value", ["0.02", 1j, np.array([1j]), [[1], [1, 2]], {}, b"1"])
def test_a_value_that_is_no_number(tmp_path, value):
    _, _, scales = computed_scales(tmp_path)
    (message,) = messages(lambda: scales.replaced("images", value))
    assert message.startswith("the scale of 'images' cannot be ")


@pytest.mark.parametrize(
    ("tensor", "value"), [("w", 0.1), ("w", [0.1, 0.2]), ("w", np.ones((4, 1))), ("w", [])]
)
def test_another_shape(tmp_path, tensor, value):
    proto, plan, scales = computed_scales(tmp_path)
    shape = np.shape(value)
    expected = f"the scale of 'w' has shape {shape}, and not (4,); give an array of shape (4,)"
    assert messages(lambda: scales.replaced(tensor, value)) == [expected]
    (pair,) = (p for p in plan.pairs if p.tensor == tensor)
    by_hand = replace(scales, by_pair={**scales.by_pair, pair: value})
    for weights in ("int8", "qdq"):
        told = messages(lambda weights=weights: insert(proto, plan, by_hand, weights=weights))
        assert told == [expected]


def test_an_array_for_a_scalar(tmp_path):
    _, _, scales = computed_scales(tmp_path)
    (message,) = messages(lambda: scales.replaced("images", [0.1, 0.2]))
    assert message.startswith("the scale of 'images' cannot be [0.1, 0.2]; ")


def test_every_problem_is_told_at_once(tmp_path):
    _, plan, scales = computed_scales(tmp_path)
    entries = {"imagse": 0.1, "w": 0.1, ("b", "secnod"): 0.1, "images": 0, "a": 0.1}
    assert [text.partition(";")[0] for text in messages(lambda: scales.replaced(entries))] == [
        "'imagse' has no pair",
        "the scale of 'w' has shape (), and not (4,)",
        "'secnod' does not read 'b' through a pair",
        "the scale of 'images' is not positive and finite in float32: 0",
        "'a' has no pair",
    ]
    (message,) = messages(lambda: scales["imagse"])
    assert message == "'imagse' has no pair; did you mean 'images'?"
    other = replace(plan.pairs[0], tensor="other")
    assert "is not one of these scales" in messages(lambda: scales[other])[0]


def test_a_pair_that_the_model_has_keeps_its_scale(tmp_path):
    text = """
    g (float[1,4,8,8] x) => (float[1,4,8,8] y, float[1,4,8,8] z)
    <float[4,4,1,1] w, float s = {0.5}, int8 o = {0}> {
        q = QuantizeLinear (x, s, o)
        d = DequantizeLinear (q, s, o)
        y = Relu (d)
        [conv] z = Conv (x, w)
    }
    """
    _, _, scales = computed_scales(tmp_path, text=text)
    assert scales["x"] == 0.5
    (message,) = messages(lambda: scales.replaced("x", 0.25))
    assert message.startswith("'x' has a pair in the model already, whose scale stays; ")


def test_the_metadata_name_the_edited_tensors(tmp_path):
    proto, plan, scales = computed_scales(tmp_path)
    assert "scales" not in metadata_of(insert(proto, plan, scales))
    changed = scales.replaced("v", [1, 1, 1, 1]).replaced({"images": 0.1, "v": [2, 2, 2, 2]})
    assert changed.edited == ("v", "images")
    entries = metadata_of(insert(proto, plan, changed, metadata={"recipe": "yolo 12ab"}))
    assert entries == {"recipe": "yolo 12ab", "scales": "replaced by hand: v, images"}
    assert shown_recipe(entries) == "yolo, scales replaced by hand"


def test_nothing_replaced_is_no_edit(tmp_path):
    _, _, scales = computed_scales(tmp_path)
    assert scales.replaced({}).edited == ()
    assert isinstance(scales.replaced({}), Scales)
