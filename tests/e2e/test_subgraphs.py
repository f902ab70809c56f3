"""Trained models with If inside of If: silero's voice detector as it is exported six times over."""

from collections import Counter

import numpy as np
import onnx
import pytest

from onnxq.model.graph import Graph
from onnxq.model.io import load, prepare
from onnxq.model.strip import strip
from tests.conftest import packaged
from tests.inserting import computed, quantized
from tests.planning import planned, rule

RULE = rule("{op: [Conv, Gemm]}", id="all", quantize="{inputs: act, weights: weight}")
FLAT = ["silero_vad_16k_op15", "silero_vad_half", "silero_vad_16k_sequence"]
HIDDEN = {"silero_vad": {"Conv": 12}, "silero_vad_op18_ifless": {"Conv": 12, "Gemm": 4}}


def silero(name):
    return load(packaged("silero_vad", f"data/{name}.onnx"))


def sample(model):
    rng = np.random.default_rng(0)
    known = {"input": rng.normal(0, 0.1, (1, 576)), "state": np.zeros((2, 1, 128))}
    known |= {"h": np.zeros((1, 1, 128)), "c": np.zeros((1, 1, 128))}
    values = {name: value.astype(np.float32) for name, value in known.items()}
    values["sr"] = np.array(16000)
    return {i.name: values[i.name] for i in model.graph.input}


def with_bodies(model):
    return [n for n in model.graph.node if any(a.HasField("g") for a in n.attribute)]


@pytest.mark.parametrize("name", FLAT)
def test_what_bodies_read_stays_theirs(tmp_path, name):
    before = prepare(silero(name))
    result = quantized(tmp_path, before, RULE, amax=8.0)
    onnx.checker.check_model(result)
    assert Counter(n.op_type for n in result.graph.node)["QuantizeLinear"] == 6
    assert with_bodies(result) == with_bodies(before)
    outputs = computed(result, **sample(before))
    for expected, found in zip(computed(before, **sample(before)), outputs, strict=True):
        assert found.shape == expected.shape
        assert np.isfinite(found).all()
    whole = quantized(tmp_path, prepare(silero(name)), RULE, weights="qdq")
    assert strip(whole).model == before


@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_in_bodies_is_counted(tmp_path, name):
    made = planned(tmp_path, Graph(prepare(silero(name))), RULE)
    (told,) = (d for d in made.diagnostics if d.code == "OQ216")
    assert told.message.startswith(f"{sum(HIDDEN[name].values())} weighted ops left in float")
