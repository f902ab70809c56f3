"""The costs of engines in the report of verify."""

import json

import numpy as np
import onnx
import pytest
from jsonschema import Draft202012Validator

from onnxq import Profile, verify
from onnxq.cost.gpu import load
from onnxq.diagnostics import OnnxqError
from onnxq.verification import builder
from onnxq.verification.costing import engine_costs
from onnxq.verification.schema import schema

from .models import Builder, float_conv, quantized_conv, saved


def models(folder, shape=(1, 4, 8, 8)):
    return (
        saved(float_conv(shape=shape), folder, "float.onnx"),
        saved(quantized_conv(shape=shape), folder, "qdq.onnx"),
    )


def test_three_engines(tmp_path):
    report = verify(*models(tmp_path), gpu="l4")
    assert report.passed
    cost = report.cost
    assert [engine.types for engine in cost.engines] == ["qdq", "fp16", "fp32"]
    assert [set(engine.macs) for engine in cost.engines] == [{"int8"}, {"fp16"}, {"fp32"}]
    assert {sum(engine.macs.values()) for engine in cost.engines} == {18432}
    assert cost.ratio == cost.qdq.seconds / cost.by_types["fp16"].seconds


def test_no_gpu_no_cost(tmp_path):
    report = verify(*models(tmp_path))
    assert report.cost is None
    assert report.to_dict()["models"][0]["cost"] is None


def test_the_schema_describes_the_json(tmp_path):
    report = verify(*models(tmp_path), gpu="orin", max_cost_ratio=1e-9)
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    Draft202012Validator(schema()).validate(values)
    cost = values["models"][0]["cost"]
    assert cost["ratio"] == report.cost.ratio
    kernels = [k for step in cost["engines"][0]["steps"] for k in step["kernels"]]
    assert sum(k["bytes"] for k in kernels) == cost["engines"][0]["listed_bytes"]


def test_the_threshold(tmp_path):
    paths = models(tmp_path)
    ratio = verify(*paths, gpu="l4").cost.ratio
    assert verify(*paths, gpu="l4", max_cost_ratio=ratio).passed
    (missed,) = verify(*paths, gpu="l4", max_cost_ratio=0.999 * ratio).diagnostics
    assert (missed.code, f"{ratio:.4g}" in missed.message) == ("OQ604", True)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"max_cost_ratio": 0.8}, "OQ654"),
        ({"max_cost_ratio": -1, "gpu": "l4"}, "OQ654"),
        ({"gpu": "l4", "backend": "onnxruntime"}, "OQ691"),
        ({"gpu": "rtx 4090"}, "OQ690"),
    ],
)
def test_options_that_cannot_be(options, code, tmp_path):
    with pytest.raises(OnnxqError) as refused:
        verify(*models(tmp_path), **options)
    assert [d.code for d in refused.value.diagnostics] == [code]


def test_a_range_of_shapes_is_costed_for_the_usual_one(tmp_path):
    paths = models(tmp_path, shape=("N", 4, 8, 8))
    sizes = Profile((1, 4, 8, 8), (2, 4, 8, 8), (8, 4, 8, 8))
    of_range = verify(*paths, shapes={"x": sizes}, gpu="l4").cost
    (fixed := tmp_path / "fixed").mkdir()
    of_two = verify(*models(fixed, shape=(2, 4, 8, 8)), gpu="l4").cost
    assert [e.listed_bytes for e in of_range.engines] == [e.listed_bytes for e in of_two.engines]
    assert of_range.ratio == of_two.ratio


def test_an_engine_that_cannot_be_built_is_told(tmp_path):
    """TensorRT has no Conv over four dimensions, as that of this float model."""
    build = Builder()
    data = build.op("Reshape", "x", build.constant(np.array([1, 4, 8, 8, 1, 1])))
    wide = build.op("Conv", data, build.weight(8, 4, 3, 3, 1, 1), pads=[1, 1, 0, 0, 1, 1, 0, 0])
    shape = build.constant(np.array([1, 8, 8, 8]))
    rejected = build.model(build.op("Reshape", wide, shape, name="conv"))
    rejected = saved(rejected, tmp_path, "rejected.onnx")
    good = saved(quantized_conv(), tmp_path, "qdq.onnx")
    report = verify(rejected, good, gpu="l4")
    assert [engine.types for engine in report.cost.engines] == ["qdq"]
    assert report.cost.ratio is None
    notes = [d.message for d in report.diagnostics if d.code == "OQ691"]
    assert [name in note for name, note in zip(("FP16", "FP32"), notes, strict=True)] == [True] * 2
    failed = verify(rejected, good, gpu="l4", max_cost_ratio=1)
    assert [d.code for d in failed.diagnostics if d.severity == "error"] == ["OQ604"]


def test_no_cost_of_a_model_that_is_not_built(tmp_path):
    build = Builder()
    rejected = saved(build.model(build.conv("x", 4, 8, scale=0.0)), tmp_path, "rejected.onnx")
    report = verify(saved(float_conv(), tmp_path, "float.onnx"), rejected, gpu="l4")
    assert report.cost is None
    assert "OQ602" in {d.code for d in report.diagnostics}


def test_several_models_have_a_cost_each(tmp_path):
    float_model, qdq = models(tmp_path)
    weights = Builder()
    other = saved(weights.model(weights.conv("x", 4, 8, scale=None)), tmp_path, "weights.onnx")
    report = verify(float_model, [qdq, other], gpu="l4")
    first, second = (model.cost for model in report.models)
    assert first.engines[1:] == second.engines[1:]
    assert first.ratio < second.ratio
    with pytest.raises(ValueError, match="several models"):
        _ = report.cost


def test_builds_are_kept(tmp_path, monkeypatch):
    paths = models(tmp_path)
    first = verify(*paths, gpu="l4").cost

    def refused(*_, **__):
        raise AssertionError("built again")

    monkeypatch.setattr(builder, "build", refused)
    assert verify(*paths, gpu="l4").cost == first


def test_a_depthwise_conv_that_int8_pads(tmp_path):
    build, other = Builder(), Builder()
    data = build.pair(build.op("Relu", build.conv("x", 4, 64, name="full"), name="relu"))
    build.op("Conv", data, build.per_channel(64, 1, 3, 3, axis=0), name="depthwise", group=64)
    path = saved(build.model("depthwise_out"), tmp_path, "qdq.onnx")
    data = other.op("Relu", other.conv("x", 4, 64, name="full", weights=False, scale=None))
    other.op("Conv", data, other.weight(64, 1, 3, 3), name="depthwise", group=64)
    model = saved(other.model("depthwise_out"), tmp_path, "float.onnx")
    (padded,) = (x for x in verify(model, path, gpu="l4").cost.losses if x.code == "OQ695")
    assert padded.nodes == ("depthwise",)
    assert "256 channels move instead of 64" in padded.message
    # three zeros for each of 64x8x8 values: read as a constant, written, read
    assert padded.bytes == 3 * 3 * 64 * 64
    assert onnx.load(path).graph.node[-1].name == "depthwise"


def normalized(*, shared):
    """A product of a LayerNormalization and the sum of both; `shared`: the Add reads the pair."""
    build = Builder()
    scale = build.constant(np.ones(64, np.float32))
    data = build.op("LayerNormalization", "x", scale, name="norm", axis=-1)
    pair = build.pair(data)
    product = build.op("MatMul", pair, build.per_channel(64, 64, axis=1), name="product")
    added = build.op("Add", product, pair if shared else data, name="add")
    return build.model(build.op("LayerNormalization", added, scale, name="last", axis=-1),
                       shape=(1, 256, 64))  # fmt: skip


def test_a_residual_that_reads_past_the_pair(tmp_path):
    """Lint says nothing of it; the kernels show the copy, and that sharing the pair saves it."""
    bare, shared = (
        saved(normalized(shared=kind), tmp_path, f"{kind}.onnx") for kind in (False, True)
    )
    float_model = Builder()
    scale = float_model.constant(np.ones(64, np.float32))
    data = float_model.op("LayerNormalization", "x", scale, name="norm", axis=-1)
    product = float_model.op("MatMul", data, float_model.weight(64, 64), name="product")
    added = float_model.op("Add", product, data, name="add")
    float_model.op("LayerNormalization", added, scale, name="last", axis=-1)
    path = saved(float_model.model("last_out", shape=(1, 256, 64)), tmp_path, "float.onnx")
    costs = [model.cost for model in verify(path, [bare, shared], gpu="l4").models]
    (copy,) = (loss for loss in costs[0].losses if loss.code == "OQ693")
    assert "'norm_out' is stored in int8 and in fp32, which Add 'add' reads" in copy.message
    assert "OQ693" not in {loss.code for loss in costs[1].losses}
    assert copy.bytes == 2 * 4 * 256 * 64
    assert costs[0].qdq.bytes - costs[1].qdq.bytes == pytest.approx(copy.bytes - 256 * 64, abs=100)


def test_many_costs_side_by_side(tmp_path, monkeypatch):
    """What a search minimizes: models in memory and files, in their order, each built once."""
    build = Builder()
    rejected = build.model(build.conv("x", 4, 8, scale=0.0))
    paths = models(tmp_path)
    given = [quantized_conv(), paths[1], float_conv(), rejected]
    found = engine_costs(given, load("l4"), workers=2)
    assert [getattr(cost, "code", None) for cost in found] == [None, None, None, "OQ602"]
    assert found[0].bytes == found[1].bytes < found[2].bytes
    assert [list(cost.macs) for cost in found[:3]] == [["int8"], ["int8"], ["fp32"]]
    assert verify(*paths, gpu="l4").cost.qdq == found[1]
    monkeypatch.setattr(builder, "build", None)
    assert engine_costs(given[:3], load("l4")) == found[:3]
