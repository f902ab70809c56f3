"""onnxq quantize: the three verbs in one."""

import shutil

import onnx
import pytest

from tests.command import result, succeeded

from .conftest import make_picture

ARGUMENTS = ("model.onnx", "--data", "imgs", "--rules", "rules.yaml")
QUICK = ("--backend", "onnxruntime")


@pytest.fixture
def fresh(here):
    (here / "model.calib.npz").unlink()
    return here


def test_it_writes_what_the_three_verbs_write(fresh):
    succeeded(fresh.run("quantize", *ARGUMENTS, *QUICK))
    in_one = (fresh / "model.qdq.onnx").read_bytes()
    (fresh / "model.qdq.onnx").unlink()
    (fresh / "model.calib.npz").unlink()
    succeeded(fresh.run("calibrate", "model.onnx", "--data", "imgs"))
    succeeded(fresh.run("insert", "--rules", "rules.yaml"))
    assert (fresh / "model.qdq.onnx").read_bytes() == in_one


def test_it_says_in_json_what_the_verbs_say(fresh):
    told = result(succeeded(fresh.run("quantize", *ARGUMENTS, "--json")))
    assert told["output"] == "model.qdq.onnx"
    assert told["calibrate"]["samples"] == 3
    assert told["insert"]["weighted_ops_quantized"] == 2
    assert told["verify"]["models"][0]["numeric"]["sqnr_db"] > 20
    assert told["verify"]["models"][0]["compiled"]["counts"]["Conv"]["int8"] == 2
    assert told["diagnostics"] == []


def test_the_next_recipe_needs_no_data(fresh):
    (fresh / "few.yaml").write_text(
        "schema: 1\nextends: trt-int8\nrules:\n"
        "  - {id: not-second, why: w, match: {name: second}, skip: all}\n"
    )
    options = ("--data", "imgs", "--rules", "few.yaml", *QUICK)
    succeeded(fresh.run("quantize", "model.onnx", *options))
    shutil.rmtree(fresh / "imgs")
    succeeded(fresh.run("insert", "--rules", "rules.yaml"))
    counted = [n.op_type for n in onnx.load(fresh / "model.qdq.onnx").graph.node]
    assert counted.count("QuantizeLinear") == 2


def test_it_observes_what_only_the_recipe_quantizes(fresh):
    (fresh / "relu.yaml").write_text(
        "schema: 1\nextends: trt-int8\nrules:\n"
        "  - {id: relu, why: w, match: {op: Relu}, quantize: {inputs: act}}\n"
    )
    succeeded(fresh.run("quantize", "model.onnx", "--data", "imgs", "--rules", "relu.yaml", *QUICK))


def test_the_calibration_stands_beside_the_output(fresh):
    (fresh / "out").mkdir()
    succeeded(fresh.run("quantize", *ARGUMENTS, *QUICK, "-o", "out/small.onnx"))
    assert {p.name for p in (fresh / "out").iterdir()} == {"small.onnx", "model.calib.npz"}
    assert not (fresh / "model.calib.npz").exists()
    succeeded(fresh.run("insert", "--calibration", "out/model.calib.npz"))


def test_a_check_that_says_no_is_exit_1_and_the_model_is_there(fresh):
    outcome = fresh.run("quantize", *ARGUMENTS, *QUICK, "--min-sqnr", "200")
    assert outcome.returncode == 1
    assert "error[OQ604]" in outcome.stderr
    assert (fresh / "model.qdq.onnx").is_file()


def test_which_samples_it_compared_on(fresh):
    told = "3 samples, all used for calibration: the figures flatter"
    assert told in succeeded(fresh.run("quantize", *ARGUMENTS, *QUICK)).stdout
    outcome = succeeded(fresh.run("quantize", *ARGUMENTS, *QUICK, "--verify-data", "imgs/1.png"))
    assert "1 sample, all used" in outcome.stdout
    make_picture(fresh / "other.png", 9)
    outcome = succeeded(fresh.run("quantize", *ARGUMENTS, *QUICK, "--verify-data", "other.png"))
    assert "1 sample, none used" in outcome.stdout


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("OQ101", ("--data", "imgs", "--rules", "nobody")),
        ("OQ401", ("--data", "nothing")),
        ("OQ401", ("--data", "imgs", "--verify-data", "nothing")),
        ("OQ501", ("--data", "imgs", "-o", "missing/q.onnx")),
        ("OQ502", ("--data", "imgs", "-o", "model.onnx")),
        ("OQ502", ("--data", "imgs", "--rules", "rules.yaml", "-o", "rules.yaml")),
    ],
)
def test_bad_input_is_told_before_anything_is_written(fresh, code, options):
    fresh.refuses(code, "quantize", "model.onnx", *options)


def test_warnings_are_told_once(fresh):
    (fresh / "miss.yaml").write_text(
        "schema: 1\nextends: trt-int8\nrules:\n"
        "  - {id: gone, why: w, match: {op: Gemm}, skip: all}\n"
    )
    options = ("--data", "imgs", "--rules", "miss.yaml", *QUICK)
    outcome = succeeded(fresh.run("quantize", "model.onnx", *options))
    assert outcome.stderr.count("OQ201") == 1
    (fresh / "model.calib.npz").unlink()
    (fresh / "model.qdq.onnx").unlink()
    fresh.refuses("OQ201", "quantize", "model.onnx", *options, "--strict", lines=3)
