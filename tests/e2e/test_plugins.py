"""Models with plugin and custom ops go through every step, with words on what was left out."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

import onnxq
from onnxq.model.cutting import cut
from onnxq.model.graph import Graph
from tests.cli.forked import onnxq as command
from tests.command import result, succeeded

from . import plugin_models
from .plugin_models import DETECTIONS

CUT = {"OQ606", "OQ607", "OQ609"}


def samples(count, seed, side=64):
    rng = np.random.default_rng(seed)
    return rng.random((count, 3, side, side), np.float32)


SEEN, OTHER = samples(2, 0), samples(2, 1)
SMALL, SMALL_OTHER = samples(4, 0, 16), samples(3, 1, 16)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A function that makes a shared library of C text."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler to make a library with")
    folder = tmp_path_factory.mktemp("libraries")

    def library(name, source):
        file = folder / f"{name}.c"
        file.write_text(source)
        how = [compiler, "-shared", "-fPIC", "-Wl,-z,now", "-o", folder / f"{name}.so", file]
        subprocess.run(how, check=True)
        return folder / f"{name}.so"

    return library


@pytest.fixture(scope="module")
def twice(built):
    """The library for onnxruntime that has com.example::Twice."""
    return built("twice", Path(__file__).with_name("custom_op.c").read_text())


def codes(result):
    return {d.code for d in result.diagnostics}


def message(result, code):
    (only,) = [d.message for d in result.diagnostics if d.code == code]
    return only


def types_of(report):
    return {op.node: op.precision for op in report.layers}


@pytest.fixture(scope="module")
def plain():
    """The detector without a plugin."""
    return onnxq.quantize(plugin_models.detector(), SEEN, "yolo", verify_data=OTHER)


@pytest.fixture(scope="module", params=["TRT", ""])
def nms(request):
    """The detector that ends in EfficientNMS_TRT."""
    model = plugin_models.with_nms(request.param)
    return onnxq.quantize(model, SEEN, "yolo", verify_data=OTHER)


def test_nms_at_the_end_changes_nothing_in_front_of_it(nms, plain):
    assert nms.passed
    assert dict(nms.statistics.unobserved) == {}
    assert nms.report.outputs == plain.report.outputs
    assert types_of(nms.report) == types_of(plain.report)
    assert "int8" in types_of(plain.report).values()
    compiled, whole = nms.report.models[0].compiled, plain.report.models[0].compiled
    assert compiled.without == ("EfficientNMS_TRT 'nms'",)
    assert (compiled.macs, compiled.engine_bytes) == (whole.macs, whole.engine_bytes)
    assert whole.without == ()


def test_every_output_behind_nms_is_told(nms, plain):
    stand_ins = nms.report.models[0].numeric.stand_ins
    assert stand_ins == dict.fromkeys(DETECTIONS, ("boxes", "scores"))
    assert codes(nms) >= CUT
    assert not codes(plain) & CUT
    told = message(nms, "OQ606")
    assert all(f"'{name}'" in told for name in (*DETECTIONS, "boxes", "scores"))
    assert "EfficientNMS_TRT 'nms'" in message(nms, "OQ607")
    assert "OQ605" not in codes(nms)


def test_limits_for_outputs_and_inner_figures_hold_in_front_of_nms(nms):
    options = {"min_sqnr": {"det_boxes": 1000}, "tensors": True, "backend": "onnxruntime"}
    report = onnxq.verify(nms.inserted.model, nms.inserted, data=OTHER, **options)
    missed = [d.message for d in report.diagnostics if d.code == "OQ604"]
    assert len(missed) == 2
    assert "of 'boxes', in place of outputs 'num_dets', 'det_boxes'" in missed[0]
    tensors = report.models[0].numeric.tensors
    assert len(tensors) > 80
    assert all(t.local is not None for t in tensors)


@dataclass(frozen=True)
class Middle:
    """The detector with a custom op in the middle, and the ops in front of it and behind it."""

    model: onnxq.Model
    front: frozenset
    behind: frozenset


@pytest.fixture(scope="module")
def middle():
    model = onnxq.load(plugin_models.with_custom_op())
    part = cut(model.proto, lambda node: node.op_type == "Twice")
    products = {n.name for n in model.graph.nodes if n.op == "Conv"}
    behind = products & part.nodes.keys()
    assert 10 < len(behind) < len(products) - 10
    return Middle(model, frozenset(products - behind), frozenset(behind))


@pytest.fixture(scope="module")
def without_library(middle):
    return onnxq.quantize(middle.model, SEEN, "yolo", verify_data=OTHER)


@pytest.fixture(scope="module")
def with_library(middle, twice):
    return onnxq.quantize(middle.model, SEEN, "yolo", verify_data=OTHER, ort_library=twice)


def quantized_products(result):
    graph = Graph(onnxq.load(result.proto, existing="keep").proto)
    makers = {n.name: graph.producer(n.inputs[1]) for n in graph.nodes if n.op == "Conv"}
    return {name for name, maker in makers.items() if maker and maker.op == "DequantizeLinear"}


def test_behind_an_unknown_op_all_stays_float_and_is_told(middle, without_library):
    assert without_library.passed
    assert quantized_products(without_library) == middle.front
    unobserved = without_library.statistics.unobserved
    assert set(unobserved.values()) == {"Twice 'twice'"}
    assert "doubled" in unobserved
    assert not unobserved.keys() & without_library.statistics.tensors.keys()
    assert "Twice 'twice'" in message(without_library, "OQ321")
    assert "--ort-library" in str(without_library.diagnostics)
    assert " ops behind Twice 'twice' stay in float" in message(without_library, "OQ322")
    assert codes(without_library) >= CUT


def test_the_report_counts_what_is_behind_as_unknown(middle, without_library):
    types = types_of(without_library.report)
    assert {name for name, kind in types.items() if kind == "unknown"} == middle.behind
    assert {types[name] for name in middle.front} == {"int8"}
    reasons = {op.reason for op in without_library.report.layers if op.node in middle.behind}
    assert reasons == {"not compiled: behind Twice 'twice'"}
    assert f"{len(middle.behind)} weighted ops behind it" in message(without_library, "OQ606")


def test_a_share_of_what_was_not_compiled_is_not_known(middle, without_library, twice):
    limit = {"min_int8": 0.9}
    report = onnxq.verify(middle.model, without_library.inserted, **limit)
    assert "is not known" in message(report, "OQ604")
    report = onnxq.verify(middle.model, without_library.inserted, ort_library=twice, **limit)
    (missed,) = [d for d in report.diagnostics if d.code == "OQ604"]
    assert "0.56" in missed.message
    assert "the engine ends in front of Twice 'twice'" in missed.fix


def test_with_the_library_all_is_observed_and_compared(middle, with_library, without_library):
    assert with_library.passed
    assert dict(with_library.statistics.unobserved) == {}
    assert quantized_products(with_library) >= middle.front
    assert len(quantized_products(with_library)) == len(middle.front | middle.behind) - 1  # DFL
    assert not codes(with_library) & {"OQ321", "OQ322", "OQ606"}
    assert list(with_library.report.outputs) == ["boxes", "scores"]
    for name, tensor in without_library.statistics.tensors.items():
        same = with_library.statistics[name].range.maximum
        assert tensor.range.maximum == pytest.approx(same, rel=1e-4)
    (compiled,) = [model.compiled for model in with_library.report.models]
    assert compiled.macs["int8"] + compiled.macs["unknown"] == pytest.approx(1)


def test_the_library_counts_at_verify_too(middle, without_library, twice):
    report = onnxq.verify(
        middle.model, without_library.inserted, data=OTHER, ort_library=[twice],
        backend="onnxruntime",
    )  # fmt: skip
    assert list(report.outputs) == ["boxes", "scores"]
    assert "OQ606" not in codes(report)


def test_a_calibration_keeps_what_it_could_not_observe(without_library, tmp_path):
    saved = without_library.statistics.save(tmp_path / "a.calib.npz")
    loaded = onnxq.Statistics.load(saved.path)
    assert dict(loaded.unobserved) == dict(without_library.statistics.unobserved)
    assert loaded.digest == saved.digest


def test_a_calibration_with_the_library_adds_what_one_without_it_lacks(
    without_library, with_library
):
    total = without_library.statistics + with_library.statistics
    assert dict(total.unobserved) == {}


def test_parts_in_half_precision(middle, without_library):
    inserted = onnxq.insert(middle.model, "yolo", without_library.statistics, float_type="fp16")
    assert {"OQ322"} <= codes(inserted)
    (fix,) = [d.fix for d in inserted.diagnostics if d.code == "OQ514"]
    assert "--float fp16 and --ort-library" in fix
    report = onnxq.verify(middle.model, inserted, data=OTHER, backend="onnxruntime")
    assert all(o.sqnr_db > 20 for o in report.outputs.values())


NO_LIBRARIES = {
    "text": (None, "invalid ELF header|file too short"),
    "other": ("int nothing;", "RegisterCustomOps"),
}


@pytest.mark.parametrize("kind", NO_LIBRARIES)
def test_a_library_that_is_none_for_onnxruntime(kind, built, tmp_path):
    source, words = NO_LIBRARIES[kind]
    path = tmp_path / "text.so"
    path.write_text("no library")
    library = path if source is None else built(kind, source)
    with pytest.raises(onnxq.OnnxqError, match=words) as refusal:
        onnxq.calibrate(plugin_models.chain(), SMALL, ort_library=library)
    assert [d.code for d in refusal.value.diagnostics] == ["OQ320"]


def test_a_library_that_does_not_exist():
    for options, code in (({"ort_library": "no.so"}, "OQ320"), ({"plugin": "no.so"}, "OQ605")):
        with pytest.raises(onnxq.OnnxqError, match="not a file") as refusal:
            onnxq.quantize(plugin_models.chain(), SMALL, **options)
        assert [d.code for d in refusal.value.diagnostics] == [code]


# A library of plugins calls the TensorRT that it was built for.
OF_ANOTHER_TENSORRT = "void *getPluginRegistry(void); void *f(void) { return getPluginRegistry(); }"
PLUGIN_LIBRARIES = {
    "of another TensorRT": (OF_ANOTHER_TENSORRT, "undefined symbol: getPluginRegistry"),
    "without a plugin": ("int nothing;", "registers no plugin"),
}


@pytest.fixture(scope="module")
def small_nms():
    model = onnxq.load(plugin_models.of_opset_11())
    return model, onnxq.insert(model, "trt-int8", onnxq.calibrate(model, SMALL))


@pytest.mark.parametrize("kind", PLUGIN_LIBRARIES)
def test_a_plugin_library_that_does_not_load(kind, built, small_nms):
    source, words = PLUGIN_LIBRARIES[kind]
    library = built(kind.split()[0], source)
    report = onnxq.verify(*small_nms, data=SMALL_OTHER, plugin=library)
    assert not report.passed
    assert words in message(report, "OQ605")
    assert str(library) in message(report, "OQ605")
    assert {"OQ606", "OQ607"} <= codes(report)  # the other answers are there
    assert set(types_of(report).values()) == {"int8"}
    assert list(report.outputs) == ["boxes", "scores"]


def test_the_opset_of_a_model_with_a_plugin_of_no_domain_is_raised(small_nms):
    _, inserted = small_nms
    assert inserted.preparation.outputs == "same"
    assert str(inserted.preparation).endswith("the same, in front of BatchedNMSDynamic_TRT 'nms'")
    assert (inserted.preparation.before, inserted.preparation.after) == (11, 13)
    (node,) = [n for n in inserted.proto.graph.node if n.op_type == "BatchedNMSDynamic_TRT"]
    assert node.domain == ""
    assert [o.domain for o in inserted.proto.opset_import] == [""]


def test_an_op_in_a_branch_takes_the_whole_if_along():
    done = onnxq.quantize(plugin_models.in_an_if(), SMALL, verify_data=SMALL_OTHER)
    assert done.passed
    assert quantized_products(done) == {"c1"}
    for code in ("OQ321", "OQ322", "OQ606", "OQ607"):
        assert "Twice in If " in message(done, code)
    assert list(done.report.outputs) == ["beside", "r"]
    assert done.report.models[0].numeric.stand_ins == {"y": ("r",)}
    assert types_of(done.report) == {"c1": "int8", "c2": "unknown"}


def test_an_op_in_a_branch_with_its_library(twice):
    done = onnxq.quantize(
        plugin_models.in_an_if(), SMALL, verify_data=SMALL_OTHER, ort_library=twice
    )
    assert quantized_products(done) == {"c1", "c2"}
    assert list(done.report.outputs) == ["beside", "y"]


def test_outputs_that_nothing_stands_for(tmp_path):
    model = onnxq.load(plugin_models.behind_the_input())
    with pytest.raises(onnxq.OnnxqError, match="every tensor to observe is behind Twice 'op'"):
        onnxq.calibrate(model, SMALL)
    recipe = tmp_path / "weights.yaml"
    recipe.write_text(
        "schema: 1\ndescriptors: {w: {granularity: per_channel, calibrator: max, method: max}}\n"
        "rules:\n  - {id: w, why: Weights alone., match: {op: Conv}, quantize: {weights: w}}\n"
    )
    inserted = onnxq.insert(model, recipe)
    report = onnxq.verify(model, inserted, data=SMALL_OTHER, min_sqnr=10)
    assert "cannot compare the output 'y'" in message(report, "OQ606")
    assert dict(report.outputs) == {}
    assert "the models were not compared" in message(report, "OQ604")
    assert "nothing of the model is in front of Twice" in message(report, "OQ607")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("commands")
    onnx.save(plugin_models.chain(), path / "chain.onnx")
    np.save(path / "seen.npy", SMALL)
    np.save(path / "other.npy", SMALL_OTHER)
    return path


def test_the_commands_without_a_library(folder):
    calibrated = result(succeeded(command(
        "calibrate", "chain.onnx", "--data", "seen.npy", "--json", cwd=folder
    )))  # fmt: skip
    assert calibrated["unobserved"] == {"b": "Twice 'op'"}
    inserted = succeeded(command("insert", cwd=folder))
    assert "warning[OQ322]: 1 op behind Twice 'op' stays in float" in inserted.stderr
    linted = succeeded(command("lint", "chain.qdq.onnx", cwd=folder))
    assert "com.example::Twice 'op' is a plugin to TensorRT" in linted.stdout + linted.stderr
    verified = succeeded(command(
        "verify", "chain.onnx", "chain.qdq.onnx", "--data", "other.npy", cwd=folder
    ))  # fmt: skip
    assert "in place of y: r" in verified.stdout
    assert "without Twice 'op'" in verified.stdout


def test_the_commands_with_a_library(folder, twice, built):
    plugin = built("of", OF_ANOTHER_TENSORRT)
    done = command(
        "quantize", "chain.onnx", "--data", "seen.npy", "--verify-data", "other.npy",
        "--ort-library", twice, "--plugin", plugin, "-o", "whole.qdq.onnx", "--json", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 1  # the plugins were asked for, and do not load
    found = result(done)
    assert {d["code"] for d in found["diagnostics"]} >= {"OQ605", "OQ607"}
    assert found["insert"]["weighted_ops_quantized"] == 2
    (model,) = found["verify"]["models"]
    assert [o["name"] for o in model["numeric"]["outputs"]] == ["beside", "y"]
