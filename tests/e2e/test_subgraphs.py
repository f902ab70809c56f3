"""Trained models with If inside of If: silero's voice detector as it is exported six times over."""

from collections import Counter

import numpy as np
import onnx
import pytest

from onnxq.model.io import load
from onnxq.model.pairs import is_pair_op
from onnxq.model.preparing import prepare
from onnxq.model.scopes import nodes
from onnxq.model.strip import strip
from tests.cli.forked import onnxq
from tests.command import result, succeeded
from tests.compiled.engine import layers_of
from tests.conftest import packaged
from tests.inserting import computed, quantized
from tests.planning import rule

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


LOADER = """
import numpy as np

RATES = {rates}
FIRST = {first}


def load_data():
    rng = np.random.default_rng(FIRST)
    for index in range(FIRST, FIRST + 16):
        rate = RATES[index % len(RATES)]
        size = rate * 36 // 1000
        time = np.arange(size) / rate
        tones = (np.sin(2 * np.pi * f * time + f) for f in rng.uniform(80, 3000, 8))
        sound = sum(rng.normal(0, 0.1) * tone for tone in tones) + rng.normal(0, 0.02, size)
        state = rng.normal(0, 0.3, (2, 1, 128)).astype(np.float32)
        yield {{"input": np.float32(sound)[None], "state": state, "sr": np.array(rate)}}
"""


@pytest.mark.parametrize("name", HIDDEN)
def test_a_trained_model_is_quantized_inside(tmp_path, name):
    """Both rates, each of which takes the Ifs another way."""
    onnx.save(silero(name), tmp_path / "model.onnx")
    for file, first in (("data.py", 0), ("others.py", 100)):
        (tmp_path / file).write_text(LOADER.format(rates=(16000, 8000), first=first))
    succeeded(onnxq("calibrate", "model.onnx", "--data", "data.py", "--ragged", cwd=tmp_path))
    placed = result(succeeded(onnxq("insert", "--json", cwd=tmp_path)))
    count = sum(HIDDEN[name].values())
    recurrent = sum(n.op_type == "LSTM" for _, n in nodes(onnx.load(tmp_path / "model.onnx").graph))
    assert placed["weighted_ops_quantized"] == count
    assert placed["weighted_ops"] == count + recurrent
    assert [d["code"] for d in placed["diagnostics"]] == ["OQ220"] * bool(recurrent)
    qdq = onnx.load(tmp_path / "model.qdq.onnx")
    onnx.checker.check_model(qdq, full_check=True)
    inside = [n for scope, n in nodes(qdq.graph) if scope and n.op_type in ("Conv", "Gemm")]
    assert Counter(n.op_type for n in inside) == HIDDEN[name]
    asked = ("--data", "others.py", "--ragged", "--tensors", "--backend", "onnxruntime", "--json")
    found = result(succeeded(onnxq("verify", "model.onnx", "model.qdq.onnx", *asked, cwd=tmp_path)))
    (model,) = found["models"]
    assert model["numeric"]["sqnr_db"] > 20
    assert len(model["numeric"]["inside"]) == 2 * count
    assert not model["numeric"]["tensors"]
    succeeded(onnxq("strip", "model.qdq.onnx", "-o", "float.onnx", cwd=tmp_path))
    stripped = onnx.load(tmp_path / "float.onnx")
    assert not any(is_pair_op(n) for _, n in nodes(stripped.graph))
    before = prepare(silero(name))
    computing = [
        [(scope, n.name) for scope, n in nodes(m.graph) if n.op_type != "Constant"]
        for m in (stripped, before)
    ]  # the Constant nodes of weights are initializers now
    assert computing[0] == computing[1]


def test_a_branch_that_no_sample_takes_stays_in_float(tmp_path):
    name = "silero_vad_op18_ifless"
    onnx.save(silero(name), tmp_path / "model.onnx")
    (tmp_path / "data.py").write_text(LOADER.format(rates=(16000,), first=0))
    succeeded(onnxq("calibrate", "model.onnx", "--data", "data.py", cwd=tmp_path))
    placed = result(succeeded(onnxq("insert", "--json", cwd=tmp_path)))
    assert placed["weighted_ops_quantized"] == 8
    (told,) = placed["diagnostics"]
    assert told["code"] == "OQ240"
    assert "in else_branch of If 'node_cond__1'" in told["message"]
    qdq = onnx.load(tmp_path / "model.qdq.onnx")
    scopes = {scope[-1] for scope, n in nodes(qdq.graph) if n.op_type == "QuantizeLinear"}
    assert scopes == {"node_cond__1/then_branch"}


def test_tensorrt_runs_a_trained_model_in_int8_inside(tmp_path):
    """TensorRT-RTX 1.7 fails on the first Conv of a branch, a Fourier transform, with a pair."""
    model = prepare(silero("silero_vad_op18_ifless"))
    sizes = {"input": [1, 576], "state": [2, 1, 128]}
    for value in (i for i in model.graph.input if i.name in sizes):
        for dim, size in zip(value.type.tensor_type.shape.dim, sizes[value.name], strict=True):
            dim.dim_value = size
    fourier = rule('{name: "node_Conv_*"}', id="fourier", skip="all")
    qdq = quantized(tmp_path, model, RULE, fourier)
    layers = layers_of(qdq)
    found = Counter(
        layers.precision(n.name) for _, n in nodes(qdq.graph) if n.op_type in ("Conv", "Gemm")
    )
    assert found == {"int8": 14, "float": 2}
