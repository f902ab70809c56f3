"""`onnxq verify` on the command line: thresholds, backends and models that do not fit."""

import subprocess
import sys

import numpy as np
import onnx
import pytest

from tests.command import result, succeeded
from tests.onnx_text import model as from_text

from .conftest import MODEL

VERIFY = ("verify", "model.onnx", "model.qdq.onnx")
QUICK = (*VERIFY, "--backend", "onnxruntime")
DATA = ("--data", "imgs")
WITHOUT_COMPILER = (
    "import sys; sys.modules['tensorrt_rtx'] = None; from onnxq.cli import main; main()"
)


def without_compiler(cwd, *arguments):
    """Run onnxq where Python cannot import tensorrt_rtx."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_COMPILER, *arguments],
        cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_report(finished):
    outcome = succeeded(finished.run(*VERIFY, *DATA))
    for told in ("lint: 0 errors", "3 samples", "compiled: tensorrt-rtx", "MACs in int8: 100.0%"):
        assert told in outcome.stdout
    assert outcome.stderr == ""


def test_without_data_there_is_no_comparison(finished):
    told = result(succeeded(finished.run(*QUICK, "--json")))
    assert told["numeric"] is None
    assert told["compiled"] is None
    assert told["lint"] == []


def test_thresholds_met(finished):
    succeeded(finished.run(*VERIFY, *DATA, "--min-sqnr", "20", "--min-int8", "1"))


def test_sqnr_below_the_threshold(finished):
    told = finished.refuses("OQ604", *QUICK, *DATA, "--min-sqnr", "99", exit_code=1)
    assert "at least 99" in told


def test_share_of_int8_below_the_threshold(here):
    text = (here / "rules.yaml").read_text().replace("op: Conv", "name: second")
    (here / "half.yaml").write_text(text)
    succeeded(here.run("insert", "--rules", "half.yaml"))
    told = here.refuses("OQ604", *VERIFY, "--min-int8", "0.9", exit_code=1)
    assert "share of MACs in int8 is 0.57" in told
    succeeded(here.run(*VERIFY, "--min-int8", "0.5"))


@pytest.mark.parametrize("threshold", ["--min-sqnr", "--min-int8"])
def test_figure_that_is_not_known_is_below_every_threshold(finished, threshold):
    told = finished.refuses("OQ604", *QUICK, threshold, "0", exit_code=1)
    assert "is not known" in told


def test_thresholds_in_json(finished):
    outcome = finished.run(*QUICK, *DATA, "--min-sqnr", "99", "--json")
    assert outcome.returncode == 1
    told = result(outcome)
    assert [d["code"] for d in told["diagnostics"]] == ["OQ604"]
    assert told["numeric"]["sqnr_db"] < 99


@pytest.mark.parametrize(
    ("old", "new"), [("[1,3,16,16] x", "[1,3,16,16] z"), (" y)", " z)")], ids=["input", "output"]
)
def test_models_that_do_not_belong_together(finished, old, new):
    text = MODEL.replace(old, new)
    text = text.replace("(x, w)", "(z, w)") if "x" in old else text.replace("y = ", "z = ")
    onnx.save(from_text(text), finished / "other.onnx")
    finished.refuses(
        "OQ603", "verify", "other.onnx", "model.qdq.onnx", "--backend", "onnxruntime", *DATA
    )


def test_input_of_another_size(finished):
    onnx.save(from_text(MODEL.replace("16,16", "18,18")), finished / "other.onnx")
    outcome = finished.run(
        "verify", "other.onnx", "model.qdq.onnx", *DATA, "--backend", "onnxruntime"
    )
    assert outcome.returncode == 2
    assert "error[OQ" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1


def test_lint_errors_fail(finished):
    model = onnx.load(finished / "model.qdq.onnx")
    scale = next(t for t in model.graph.initializer if t.name == "x_scale")
    scale.CopyFrom(onnx.numpy_helper.from_array(np.float32(np.inf), "x_scale"))
    onnx.save(model, finished / "model.qdq.onnx")
    outcome = finished.run(*QUICK)
    assert outcome.returncode == 1
    assert "error[OQ611]" in outcome.stderr


def test_missing_qdq_model(finished):
    finished.refuses("OQ301", "verify", "model.onnx", "other.onnx")
    finished.refuses("OQ301", "verify", "other.onnx", "model.qdq.onnx")


def test_preprocessing_of_the_calibration_is_used(here):
    succeeded(here.run("calibrate", "model.onnx", *DATA, "--preprocess", "imagenet"))
    succeeded(here.run("insert", "--rules", "rules.yaml"))
    recorded = result(succeeded(here.run(*QUICK, *DATA, "--json")))
    given = result(succeeded(here.run(*QUICK, *DATA, "--json", "--preprocess", "imagenet")))
    other = result(succeeded(here.run(*QUICK, *DATA, "--json", "--preprocess", "unit")))
    assert recorded == given
    assert recorded["numeric"] != other["numeric"]


def test_compiler_that_is_not_installed(finished):
    asked = without_compiler(finished.folder, *VERIFY, "--backend", "tensorrt-rtx")
    assert asked.returncode == 3
    assert asked.stderr.startswith("error[OQ601]: ")
    assert "pip install 'onnxq[rtx]'" in asked.stderr
    assert len(asked.stderr.splitlines()) == 1


def test_auto_goes_on_without_a_compiler(finished):
    outcome = succeeded(without_compiler(finished.folder, *VERIFY, *DATA))
    assert outcome.stderr.startswith("warning[OQ601]: ")
    assert "pip install 'onnxq[rtx]'" in outcome.stderr
    assert "3 samples" in outcome.stdout


def test_compiler_that_runs_too_long(finished):
    told = finished.refuses("OQ602", *VERIFY, "--timeout", "0.01", exit_code=1)
    assert "did not finish in 0.01 s" in told
