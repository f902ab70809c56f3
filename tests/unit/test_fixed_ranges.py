"""Ranges that a recipe fixes: no data changes them, and what they clip is told."""

import numpy as np
import pytest

from onnxq import load, quantize
from onnxq.descriptor import QuantDescriptor
from onnxq.diagnostics import OnnxqError
from onnxq.planning.recipe import Recipe
from tests.onnx_text import model as onnx_model
from tests.planning import planned, rule
from tests.unit.test_scales import GRAPH, observed, scales

FIXED = rule("{op: Conv}", id="fixed", quantize="{inputs: {amax: 6.0}}")
TEXT = """
g (float[1,4,8,8] x) => (float[1,4,8,8] y) <float[4,4,1,1] w> {
    [first] a = Conv (x, w) [second] y = Conv (a, w)
}
"""


@pytest.mark.parametrize(
    "descriptor",
    [
        QuantDescriptor(amax=6.0),
        QuantDescriptor(amax=0.1, narrow_range=True),
        QuantDescriptor(amax=1e-6, dtype="fp8e4m3"),
        QuantDescriptor(amax=3e37, calibrator="max"),
    ],
)
def test_text_and_back(descriptor):
    assert QuantDescriptor.parse(str(descriptor)) == descriptor


def test_what_a_fixed_range_is_not():
    for wrong in (
        {"method": "max"},
        {"granularity": "per_channel"},
        {"dtype": "int4", "granularity": "per_block"},
    ):
        with pytest.raises(ValueError, match="amax"):
            QuantDescriptor(amax=6.0, **wrong)
    for amax in (0, -6.0, np.nan, np.inf, 1e-9):
        with pytest.raises(ValueError, match="amax"):
            QuantDescriptor(amax=amax)
    assert QuantDescriptor(amax=6.0) != QuantDescriptor(amax=3.0)
    assert QuantDescriptor(amax=6.0) != QuantDescriptor(method="max")


def test_extending_drops_what_the_other_way_needs():
    def made(**own):
        descriptors = {
            "tail": {"method": "percentile", "percentile": 99.0, "narrow_range": True},
            "fixed": {"amax": 6.0, "narrow_range": True},
            "own": own,
        }
        rules = [{"id": "r", "why": "t", "match": {"op": "Conv"}, "quantize": {"inputs": "own"}}]
        recipe = Recipe.from_dict({"schema": 1, "descriptors": descriptors, "rules": rules})
        return recipe.rules[0].quantize[0][1]

    assert made(extends="tail", amax=3.0) == QuantDescriptor(amax=3.0, narrow_range=True)
    assert made(extends="fixed", method="mse") == QuantDescriptor(method="mse", narrow_range=True)
    assert made(extends="fixed", calibrator="max").method == "max"
    assert made(extends="fixed", narrow_range=False) == QuantDescriptor(amax=6.0)
    with pytest.raises(OnnxqError):
        made(amax=6.0, percentile=99.99)


def test_the_scale_needs_no_statistics(tmp_path):
    by_tensor, odd = scales(tmp_path, GRAPH, observed(), FIXED)
    assert by_tensor["x"] == by_tensor["b"] == np.float32(6) / np.float32(127)
    assert odd == []
    assert not planned(tmp_path, GRAPH, FIXED).needs_data


def test_a_narrower_range_than_the_values_is_told(tmp_path):
    values = np.linspace(-8, 8, 1001)
    by_tensor, odd = scales(tmp_path, GRAPH, observed(x=values, b=[6.02]), FIXED)
    assert by_tensor["x"] == np.float32(6) / np.float32(127)
    assert odd == ["OQ517"]  # of x: b is beyond by less than half a step
    assert scales(tmp_path, GRAPH, observed(histogram=False, x=values), FIXED)[1] == ["OQ517"]


def test_weights(tmp_path):
    weights = rule("{op: Conv}", quantize="{weights: {amax: 0.001}, inputs: {amax: 6.0}}")
    by_tensor, odd = scales(tmp_path, GRAPH, observed(), weights)
    assert by_tensor["w"] == by_tensor["v"] == np.float32(0.001) / np.float32(127)
    assert odd == ["OQ517", "OQ517"]


def test_tied_to_a_method(tmp_path):
    first = rule("{name: first}", id="first", quantize="{inputs: {amax: 6.0}}")
    second = rule("{name: second}", id="second", quantize="{inputs: act}")
    tie = rule("{op: Concat}", id="tie", share_scale="[inputs, outputs]")
    with pytest.raises(OnnxqError) as refused:
        planned(tmp_path, GRAPH, first, second, tie)
    assert [d.code for d in refused.value.diagnostics] == ["OQ203"]
    by_tensor, odd = scales(tmp_path, GRAPH, observed(), FIXED, tie)
    assert by_tensor["x"] == by_tensor["b"]
    assert odd == []


def test_quantize_without_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fixed = {"inputs": {"amax": 6.0}, "weights": {"amax": 2.0}}
    rules = [{"id": "r", "why": "t", "match": {"op": "Conv"}, "quantize": fixed}]
    recipe = Recipe.from_dict({"schema": 1, "rules": rules})
    result = quantize(load(onnx_model(TEXT)), recipe=recipe, backend="onnxruntime")
    assert set(result.inserted.scales) == {"x", "a", "w"}
    assert result.inserted.scales["a"] == np.float32(6) / np.float32(127)
