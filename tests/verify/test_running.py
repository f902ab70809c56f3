"""Engines on a GPU: what can be tested without one. None of this proves a run."""

import numpy as np
import onnx
import pytest

from onnxq.feeds.samples import Sample
from onnxq.sessions import open_session
from onnxq.verify import CompileOptions, running, tensorrt, verify
from onnxq.verify.arrays import load_arrays, save_arrays
from onnxq.verify.gpu import gpu
from tests.command import onnxq

from .models import float_conv, quantized_conv, saved

without_gpu = pytest.mark.skipif(gpu(), reason="there is a GPU")


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
    (compared,) = running._compared(tmp_path, samples, outputs)
    assert compared.name == "conv_out"
    assert 40 < compared.sqnr_db < 50
    assert compared.worst_sample == "1"


@without_gpu
def test_a_report_says_that_there_was_no_gpu(tmp_path):
    paths = saved(float_conv(), tmp_path, "float.onnx"), saved(quantized_conv(), tmp_path)
    report = verify(paths[0], [paths[1]], some())
    assert (report.runs, report.why_not_run) == ((), "no GPU")
    assert not [d for d in report.diagnostics if d.code != "OQ617"]
    assert report.to_dict()["why_not_run"] == "no GPU"
    report = verify(paths[0], [paths[1]], some(), backend="onnxruntime")
    assert (report.runs, report.why_not_run) == ((), "no compiler")


@without_gpu
def test_an_engine_that_cannot_run_is_told(tmp_path):
    path = saved(float_conv(), tmp_path)
    jobs = {"FP32": tensorrt.job(path, CompileOptions())}
    (run,) = running.run_engines(onnx.load(path), jobs, some(), timeout=100, rtx=True)
    assert (run.name, run.latency_ms, run.outputs) == ("FP32", None, ())
    assert run.problem.code == "OQ602"


@without_gpu
def test_tensorrt_itself_is_a_backend_that_is_missing(tmp_path):
    saved(float_conv(), tmp_path, "float.onnx")
    saved(quantized_conv(), tmp_path)
    outcome = onnxq("verify", "float.onnx", "model.onnx", "--backend", "tensorrt", cwd=tmp_path)
    assert outcome.returncode == 3
    assert outcome.stderr.startswith("error[OQ601]: TensorRT ")
    assert len(outcome.stderr.splitlines()) == 1
