"""Engines on a GPU: what can be tested without one. None of this proves a run."""

import inspect
from importlib import import_module
from io import StringIO

import numpy as np
import onnx
import pytest
from jsonschema import Draft202012Validator
from onnx.shape_inference import infer_shapes
from rich.console import Console

from onnxq import verify
from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import Diagnostic
from onnxq.feeds.samples import Sample
from onnxq.kernels.layers import parse_layers
from onnxq.passed_arrays import load_arrays, save_arrays
from onnxq.render.runs import runs
from onnxq.sessions import open_session
from onnxq.verification import CompileOptions, EngineRun, VerifyReport, engines
from onnxq.verification.gpu import gpu
from onnxq.verification.schema import schema
from tests.cli.forked import onnxq
from tests.command import succeeded

from .models import Builder, float_conv, quantized_conv, saved

without_gpu = pytest.mark.skipif(gpu(), reason="there is a GPU")


NO_CALIBRATION = Statistics(model_digest="", calibrator="max")
NOT_RUN = Diagnostic(code="OQ666", message="it did not run", fix="see why")


def chained(*, quantized=False):
    """Two Convs, large enough that the builder makes a kernel of each."""
    build = Builder()
    scale = 0.05 if quantized else None
    data = build.conv("x", 4, 32, name="one", weights=quantized, scale=scale)
    data = build.op("Relu", data, name="relu")
    return build.model(build.conv(data, 32, 32, name="two", weights=quantized, scale=scale))


def some(count=2):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(count, 1, 4, 8, 8)).astype(np.float32)
    return [
        Sample(name=str(i), tensors={"x": value}, digest=f"{i:064x}")
        for i, value in enumerate(values)
    ]


def test_arrays_of_any_name_and_type(tmp_path):
    arrays = {
        "/file": np.arange(6, dtype=np.int64).reshape(2, 3).T,
        "file": np.float16(1.5),
        "arr_0": np.zeros((0, 3), bool),
        "": np.array([np.nan, np.inf], np.float32),
    }
    save_arrays(tmp_path / "some.npz", arrays)
    found = load_arrays(tmp_path / "some.npz")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name].reshape(array.shape), array, equal_nan=array.ndim == 1)


def test_outputs_in_files_are_compared(tmp_path):
    model = float_conv()
    session, samples = open_session(model), some()
    outputs = [{"conv_out": session.run(None, dict(s.tensors))[0]} for s in samples]
    for index, found in enumerate(outputs):
        save_arrays(tmp_path / f"{index}.npz", {"conv_out": found["conv_out"] * (1 + index / 100)})
    (compared,) = engines._compared(tmp_path, samples, outputs)
    assert compared.name == "conv_out"
    assert 40 < compared.sqnr_db < 50
    assert compared.worst_sample == "1"


@without_gpu
def test_a_report_says_that_there_was_no_gpu(tmp_path):
    paths = saved(float_conv(), tmp_path, "float.onnx"), saved(quantized_conv(), tmp_path)
    report = verify(paths[0], paths[1], data=[s.tensors for s in some()])
    assert (report.runs, report.why_not_run) == ((), "no GPU")
    assert not [d for d in report.diagnostics if d.code != "OQ617"]
    assert report.to_dict()["why_not_run"] == "no GPU"
    report = verify(paths[0], paths[1], backend="onnxruntime")
    assert (report.runs, report.why_not_run) == ((), "no compiler")


def test_three_engines_are_built(tmp_path):
    """All of the GPU's path but the runner: the engines of the Q/DQ model, in FP16 and in FP32."""
    qdq, given = saved(chained(quantized=True), tmp_path), saved(chained(), tmp_path, "float.onnx")
    before = given.read_bytes()
    sized = engines_of(given, [qdq], tmp_path)
    assert all(size == built.result["engine_bytes"] > 10_000 for built, size in sized)
    engines_built = [built for built, _ in sized]
    assert [(b.model, b.types) for b in engines_built] == [
        (str(qdq), "qdq"), (str(given), "fp16"), (str(given), "fp32"),
    ]  # fmt: skip
    layers = [parse_layers(built.result["layers"]) for built in engines_built]
    computed = [each.computed(name) for each in layers for name in ("one", "two")]
    assert [c.dtype for c in computed] == ["int8"] * 2 + ["fp16"] * 2 + ["fp32"] * 2
    assert given.read_bytes() == before


def engines_of(float_path, qdq_paths, folder):
    """The engines with their sizes; each is written to the file of the one before."""
    return [
        (built, built.engine.stat().st_size if built.problem is None else None)
        for built in engines.build_engines(float_path, qdq_paths, CompileOptions(), folder)
    ]


def test_the_half_engine_computes_what_the_float_model_does(tmp_path):
    given = saved(chained(), tmp_path, "float.onnx")
    both = onnx.load(given), onnx.load(engines.fp16_model(given, tmp_path, NO_CALIBRATION))
    ports = [(m.graph.input[0], m.graph.output[0]) for m in both]
    first, second = ([p.type.tensor_type.elem_type for p in each] for each in ports)
    assert first == second
    (sample,) = some(1)
    fp32, fp16 = (open_session(m).run(None, dict(sample.tensors))[0] for m in both)
    assert 0 < np.abs(fp32 - fp16).max() < 1e-2 * np.abs(fp32).max()


def overflowing(tmp_path):
    """A float model with values above 65504 inside, and one sample, as files."""
    build = Builder()
    conv = build.conv("x", 4, 32, name="one", weights=False, scale=None)
    up = build.op("Mul", conv, build.constant(np.float32(6e4)), name="up")
    relu = build.op("Relu", up, name="relu")
    down = build.op("Mul", relu, build.constant(np.float32(1e-4)), name="down")
    probabilities = build.op("Softmax", down, name="softmax")
    given = saved(build.model(probabilities), tmp_path, "float.onnx")
    (sample,) = some(1)
    np.save(tmp_path / "x.npy", sample.tensors["x"])
    return given


def fp32_ops(model):
    types = {v.name: v.type.tensor_type.elem_type for v in infer_shapes(model).graph.value_info}
    return {n.name for n in model.graph.node if types.get(n.output[0]) == onnx.TensorProto.FLOAT}


def test_the_half_engine_is_of_the_model_that_insert_makes(tmp_path):
    """The shipped rules and the calibration keep the same ops in FP32."""
    given = overflowing(tmp_path)
    (tmp_path / "none.yaml").write_text("schema: 1\nextends: half\nrules: []\n")
    for command in (
        ("calibrate", "float.onnx", "--data", "x.npy", "--float", "fp16"),
        ("insert", "float.onnx", "--rules", "none.yaml", "--float", "fp16", "-o", "half.onnx"),
    ):
        succeeded(onnxq(*command, cwd=tmp_path))
    calibration = Statistics.load(tmp_path / "float.calib.npz")
    inserted = onnx.load(tmp_path / "half.onnx")
    compared = onnx.load(engines.fp16_model(given, tmp_path, calibration))
    assert compared.graph.node == inserted.graph.node
    assert compared.graph.initializer == inserted.graph.initializer
    assert {"up", "relu", "down"} <= fp32_ops(compared)
    without = onnx.load(engines.fp16_model(given, tmp_path, NO_CALIBRATION))
    assert not {"up", "relu", "down"} & fp32_ops(without)


def test_an_engine_that_cannot_be_built_does_not_stop_the_others(tmp_path):
    given = saved(chained(), tmp_path, "float.onnx")
    broken = onnx.load(given)
    broken.graph.node[0].op_type, broken.graph.node[0].domain = "Unheard", "com.example"
    broken.opset_import.add(domain="com.example", version=1)
    found = engines_of(given, [saved(broken, tmp_path)], tmp_path)
    assert [b.problem.code if b.problem else "" for b, _ in found] == ["OQ607", "", ""]


@without_gpu
def test_without_a_driver_engines_are_built_and_say_why_they_did_not_run(tmp_path):
    qdq, given = saved(chained(quantized=True), tmp_path), saved(chained(), tmp_path, "float.onnx")
    runs = engines.run_engines(given, [qdq], some(), CompileOptions())
    assert [(r.types, r.latency_ms, r.outputs) for r in runs] == [
        ("qdq", None, ()), ("fp16", None, ()), ("fp32", None, ()),
    ]  # fmt: skip
    for run in runs:
        assert run.engine_bytes > 10_000
        assert run.problem.code == "OQ666"
        assert "CUDA driver version is insufficient" in run.problem.message


@pytest.mark.parametrize(
    ("call", "names"),
    [
        ("backend.trt.EngineFromBytes.__init__", ["serialized_engine"]),
        ("backend.trt.TrtRunner.__init__", ["engine"]),
        ("backend.trt.TrtRunner.infer", ["feed_dict", "check_inputs"]),
        ("backend.trt.TrtRunner.infer_impl", ["feed_dict", "copy_outputs_to_host"]),
        ("backend.trt.TrtRunner.last_inference_time", []),
        ("cuda.DeviceArray.__init__", ["shape", "dtype"]),
        ("cuda.DeviceArray.copy_from", ["host_buffer"]),
        ("cuda.DeviceArray.free", []),
    ],
)
def test_polygraphy_has_what_the_runner_calls(call, names):
    """What no test without a GPU can reach is at least there, with these parameters."""
    module, _, name = call.rpartition(".")
    module, _, kind = module.rpartition(".")
    found = getattr(getattr(import_module(f"polygraphy.{module}"), kind), name)
    assert set(names) <= set(inspect.signature(found).parameters)


def test_the_table_of_engines():
    """Rows as they are shown, of figures that stand for a GPU's."""
    report = VerifyReport(
        float_model="m.onnx",
        models=(),
        runs=(
            EngineRun(model="a/m.qdq.onnx", types="qdq", engine_bytes=1_500_000, latency_ms=0.5,
                      latency_with_copies_ms=0.75),
            EngineRun(model="m.onnx", types="fp16", engine_bytes=2_500_000, latency_ms=1.25,
                      latency_with_copies_ms=1.5),
            EngineRun(model="m.onnx", types="fp32", problem=NOT_RUN),
        ),
    )  # fmt: skip
    console = Console(file=StringIO(), width=80)
    runs(console, report)
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert ["m.qdq.onnx", "0.5", "0.75", "2.50x", "1.5", "-"] in lines
    assert ["FP16", "1.25", "1.5", "1.00x", "2.5", "-"] in lines
    assert ["FP32", "-", "-", "-", "-", "-"] in lines
    Draft202012Validator(schema()).validate({**report.to_dict(), "diagnostics": []})


@without_gpu
def test_tensorrt_itself_is_a_backend_that_is_missing(tmp_path):
    saved(float_conv(), tmp_path, "float.onnx")
    saved(quantized_conv(), tmp_path)
    outcome = onnxq("verify", "float.onnx", "model.onnx", "--backend", "tensorrt", cwd=tmp_path)
    assert outcome.returncode == 3
    assert outcome.stderr.startswith("error[OQ601]: TensorRT ")
    assert len(outcome.stderr.splitlines()) == 1
