"""`onnxq verify` on the command line: thresholds, backends and models that do not fit."""

import subprocess
import sys

import jsonschema
import numpy as np
import onnx
import pytest

from onnxq.verification.schema import schema
from tests.command import result, succeeded
from tests.onnx_text import model as from_text

from .conftest import MODEL, make_picture

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


def only_model(told):
    """The report on the one Q/DQ model."""
    (model,) = told["models"]
    return model


def test_report(finished):
    outcome = succeeded(finished.run(*VERIFY, *DATA))
    for told in (
        "lint: 0 errors",
        "3 samples, all used",
        "compiled: tensorrt-rtx",
        "MACs in int8: 100.0%",
    ):
        assert told in outcome.stdout
    assert outcome.stderr == ""


def test_without_data_there_is_no_comparison(finished):
    told = result(succeeded(finished.run(*QUICK, "--json")))
    assert told["version"] == 1
    assert only_model(told)["numeric"] is None
    assert only_model(told)["compiled"] is None
    assert only_model(told)["lint"] == []


def test_thresholds_met(finished):
    succeeded(finished.run(*VERIFY, *DATA, "--min-sqnr", "20", "--min-int8", "1"))


def test_sqnr_below_the_threshold(finished):
    told = finished.refuses("OQ604", *QUICK, *DATA, "--min-sqnr", "99", exit_code=1)
    assert "below the threshold of 99 dB" in told


def test_share_of_int8_below_the_threshold(here):
    text = (here / "rules.yaml").read_text().replace("op: Conv", "name: second")
    (here / "half.yaml").write_text(text)
    succeeded(here.run("insert", "--rules", "half.yaml"))
    told = here.refuses("OQ604", *VERIFY, "--min-int8", "0.9", exit_code=1)
    assert "share of MACs in int8 is 0.57" in told
    succeeded(here.run(*VERIFY, "--min-int8", "0.5"))


@pytest.mark.parametrize(
    ("threshold", "problem"),
    [
        (("--min-sqnr", "0"), "were not compared"),
        (("--min-sqnr", "y:0"), "were not compared"),
        (("--min-cosine", "0"), "were not compared"),
        (("--min-int8", "0"), "is not known"),
    ],
)
def test_figure_that_is_not_known_is_below_every_threshold(finished, threshold, problem):
    told = finished.refuses("OQ604", *QUICK, *threshold, exit_code=1)
    assert problem in told


def test_refusals_name_output_value_threshold_and_worst_sample(finished):
    told = result(finished.run(*QUICK, *DATA, "--min-cosine", "1", "--min-sqnr", "99", "--json"))
    (output,) = only_model(told)["numeric"]["outputs"]
    sqnr, cosine = (d["message"] for d in told["diagnostics"])
    worst, sample = output["worst_sqnr_db"], output["worst_sample"]
    assert sample in {"imgs/0.png", "imgs/1.png", "imgs/2.png"}
    assert sqnr == (
        f"the SQNR of output 'y' is {output['sqnr_db']:.4g} dB, below the threshold of 99 dB; "
        f"worst sample '{sample}': {worst:.4g} dB"
    )
    assert cosine.startswith("the cosine of output 'y' is 0.99")
    assert f"worst sample '{output['worst_cosine_sample']}': 0.99" in cosine


def test_the_last_threshold_of_an_output_holds(finished):
    succeeded(finished.run(*QUICK, *DATA, "--min-sqnr", "99", "--min-sqnr", "y:20"))
    finished.refuses("OQ604", *QUICK, *DATA, "--min-sqnr", "20", "--min-sqnr", "y:99", exit_code=1)


@pytest.mark.parametrize(
    ("threshold", "problem"),
    [
        (("--min-sqnr", "z:20"), "names 'z', which is not an output"),
        (("--min-sqnr", "much"), "is not a threshold"),
        (("--min-sqnr", "nan"), "is not a threshold"),
        (("--min-cosine", "99"), "is not a threshold"),
        (("--min-int8", "95"), "is not a share"),
    ],
)
def test_threshold_that_makes_no_sense(finished, threshold, problem):
    assert problem in finished.refuses("OQ654", *QUICK, *DATA, *threshold)


@pytest.fixture
def several(here):
    """model.qdq.onnx, half.qdq.onnx with one Conv in float, and bad.qdq.onnx without engine."""
    text = (here / "rules.yaml").read_text().replace("op: Conv", "name: second")
    (here / "half.yaml").write_text(text)
    succeeded(here.run("insert", "--rules", "rules.yaml"))
    succeeded(here.run("insert", "--rules", "half.yaml", "-o", "half.qdq.onnx"))
    model = onnx.load(here / "model.qdq.onnx")
    zero = next(t for t in model.graph.initializer if t.name == "x_zero_point")
    zero.CopyFrom(onnx.numpy_helper.from_array(np.int8(3), "x_zero_point"))
    onnx.save(model, here / "bad.qdq.onnx")
    return here


SEVERAL = ("verify", "model.onnx", "model.qdq.onnx", "bad.qdq.onnx", "half.qdq.onnx", *DATA)


def test_several_models_side_by_side(several):
    outcome = several.run(*SEVERAL)
    assert outcome.returncode == 1
    lines = {line.split("  ")[0].strip(): line.split()[-3:] for line in outcome.stdout.splitlines()}
    assert lines["lint errors"] == ["0", "1", "0"]
    assert lines["MACs in int8"] == ["100.0%", "failed", "57.1%"]
    assert all(float(cell) > 10 for cell in lines["SQNR dB, y"])
    assert float(lines["SQNR dB, y"][2]) > float(lines["SQNR dB, y"][0])
    told = outcome.stderr.splitlines()
    assert len(told) == 2
    assert all("'bad.qdq.onnx': " in line for line in told)
    assert "error[OQ602]" in told[1]


def test_several_models_give_what_each_gives_alone(several):
    together = result(several.run(*SEVERAL, "--backend", "onnxruntime", "--tensors", "--json"))
    for told in together["models"]:
        outcome = several.run(
            "verify", "model.onnx", told["model"], *DATA, "--backend", "onnxruntime", "--tensors",
            "--json",
        )  # fmt: skip
        assert only_model(result(outcome)) == told


def test_thresholds_hold_for_each_model(several):
    outcome = several.run(
        "verify", "model.onnx", "model.qdq.onnx", "half.qdq.onnx", "--min-int8", "0.9"
    )
    assert outcome.returncode == 1
    (told,) = outcome.stderr.splitlines()
    assert "error[OQ604]: 'half.qdq.onnx': the share of MACs in int8 is 0.57" in told


def test_models_calibrated_with_different_preprocessing(finished):
    succeeded(finished.run("calibrate", "model.onnx", *DATA, "--preprocess", "imagenet"))
    succeeded(finished.run("insert", "--rules", "rules.yaml", "-o", "other.qdq.onnx"))
    both = (*QUICK, "other.qdq.onnx", *DATA)
    finished.refuses("OQ650", *both)
    succeeded(finished.run(*both, "--preprocess", "unit"))


def test_tensors_on_the_terminal(finished):
    outcome = succeeded(finished.run(*QUICK, *DATA, "--tensors"))
    lines = outcome.stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(" alone dB"))
    found = [line.split() for line in lines[start + 1 : -1] if line.strip()]
    names = [row[-2] if row[-1] == "<-" else row[-1] for row in found]
    assert sorted(names) == ["b", "first", "second", "x"]
    assert [float(row[0]) for row in found] == sorted(float(row[0]) for row in found)
    assert max(map(len, lines[start - 1 :])) <= 80
    assert lines[-1].startswith("verdict: ")


def test_thresholds_in_json(finished):
    outcome = finished.run(*QUICK, *DATA, "--min-sqnr", "99", "--json")
    assert outcome.returncode == 1
    told = result(outcome)
    assert [d["code"] for d in told["diagnostics"]] == ["OQ604"]
    assert only_model(told)["numeric"]["sqnr_db"] < 99


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
    assert only_model(recorded)["numeric"] != only_model(other)["numeric"]


DYNAMIC = MODEL.replace("float[1,3,16,16] x", "float[N,3,H,W] x").replace(
    "float[1,4,16,16] y", "float[N,4,H,W] y"
)


@pytest.fixture
def dynamic(here):
    """The prepared folder with a model of any size, calibrated at 16 by 24 in batches of 3."""
    onnx.save(from_text(DYNAMIC), here / "model.onnx")
    shape = ("--shape", "x:3x3x16x24", "--batch", "3")
    succeeded(here.run("calibrate", "model.onnx", *DATA, *shape))
    succeeded(here.run("insert"))
    return here


def test_pictures_have_the_size_of_the_calibration(dynamic):
    outcome = succeeded(dynamic.run(*QUICK, *DATA))
    assert "shape: x:1x3x16x24 (as calibrated)" in outcome.stdout
    succeeded(dynamic.run(*QUICK, *DATA, "--batch", "2"))
    outcome = succeeded(dynamic.run(*QUICK, *DATA, "--shape", "x:1x3x32x32"))
    assert "shape:" not in outcome.stdout


def test_engine_without_data_has_the_shape_of_the_calibration(dynamic):
    assert "MACs in int8: 100.0%" in succeeded(dynamic.run(*VERIFY)).stdout
    (dynamic / "model.calib.npz").unlink()
    assert "--shape x:1x3x640x640" in dynamic.run(*VERIFY).stderr


def test_arrays_have_a_size_of_their_own(dynamic):
    np.save(dynamic / "x.npy", np.ones((2, 3, 8, 8), np.float32))
    assert "shape:" not in succeeded(dynamic.run(*QUICK, "--data", "x.npy")).stdout


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
    told = finished.refuses("OQ661", *VERIFY, "--timeout", "0.01", "--no-cache", exit_code=1)
    assert "did not finish in 0.01 s" in told


def data_of(outcome):
    return result(succeeded(outcome))["data"]


def test_samples_of_the_calibration_are_left_out_where_others_are_enough(finished):
    for index in range(3, 10):
        make_picture(finished / "imgs" / f"{index}.png", index)
    few = (*QUICK, *DATA, "--json")
    assert data_of(finished.run(*few)) == {"compared": 10, "used": 3, "left_out": 0}
    make_picture(finished / "imgs" / "10.png", 10)
    assert data_of(finished.run(*few)) == {"compared": 8, "used": 0, "left_out": 3}
    told = succeeded(finished.run(*QUICK, *DATA)).stdout
    assert "8 samples, none used for calibration; 3 used ones are left out" in told
    for index in range(3):
        (finished / "imgs" / f"{index}.png").unlink()
    alone = result(succeeded(finished.run(*few)))
    assert alone["data"] == {"compared": 8, "used": 0, "left_out": 0}
    for index in range(3):
        make_picture(finished / "imgs" / f"{index}.png", index)
    assert result(succeeded(finished.run(*few)))["models"] == alone["models"]


def test_what_was_used_is_not_known_without_the_calibration(finished):
    (finished / "model.calib.npz").rename(finished / "moved.npz")
    plain = (*QUICK, *DATA, "--json")
    assert data_of(finished.run(*plain)) == {"compared": 3, "used": None, "left_out": 0}
    named = (*plain, "--calibration", "moved.npz")
    assert data_of(finished.run(*named)) == {"compared": 3, "used": 3, "left_out": 0}
    other = finished.run(*named, "--preprocess", "unit")
    assert data_of(other)["used"] is None
    finished.refuses("OQ410", *QUICK, *DATA, "--calibration", "none.npz")


def test_batches_of_the_calibration_are_known_by_their_samples(finished):
    batched = from_text(MODEL.replace("[1,3", "[2,3").replace("[1,4", "[2,4"))
    onnx.save(batched, finished / "model.onnx")
    for name, seeds in (("imgs", (0, 1, 2, 3)), ("mixed", (3, 8, 9, 2))):
        (finished / name).mkdir(exist_ok=True)
        for place, seed in enumerate(seeds):
            make_picture(finished / name / f"{place}.png", seed)
    succeeded(finished.run("calibrate", "model.onnx", *DATA))
    succeeded(finished.run("insert", "--rules", "rules.yaml"))
    found = data_of(finished.run(*QUICK, "--data", "mixed", "--json"))
    assert found == {"compared": 2, "used": 2, "left_out": 0}


@pytest.mark.parametrize(
    "options",
    [
        (),
        (*DATA, "--tensors", "--min-sqnr", "99"),
        ("bad.qdq.onnx", "half.qdq.onnx", *DATA, "--tensors"),
    ],
)
def test_json_is_as_its_schema_says(several, options):
    told = result(several.run(*VERIFY, *options, "--json"))
    jsonschema.validate(told, schema())
    assert told["models"][0]["compiled"]["int8"] == 2
    strict = jsonschema.Draft202012Validator(schema())
    told["models"][0]["new"] = 1
    assert not strict.is_valid(told)


def test_json_of_a_classifier_is_as_its_schema_says(finished):
    text = "c (float[1,9] x) => (float[1,9] y) { [f] y = Relu (x) }"
    onnx.save(from_text(text), finished / "c.onnx")
    np.save(finished / "x.npy", np.arange(9, dtype=np.float32).reshape(1, 9))
    (finished / "labels.csv").write_text("x.npy,8\n")
    outcome = finished.run(
        "verify", "c.onnx", "c.onnx", "--data", "x.npy", "--labels", "labels.csv", "--json",
        "--backend", "onnxruntime",
    )  # fmt: skip
    told = result(outcome)
    jsonschema.validate(told, schema())
    assert only_model(told)["numeric"]["accuracy"]["top5"] == 1
    assert only_model(told)["numeric"]["sqnr_db"] == "inf"
