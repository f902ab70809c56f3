"""onnxq quantize: the three verbs in one."""

import shutil

import onnx
import pytest

from tests.command import result, succeeded
from tests.onnx_text import model as from_text

from .conftest import MODEL, make_picture

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
    told = "3 samples, all used for calibration: the figures are optimistic"
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


def test_it_checks_as_verify_does(fresh):
    """The report is that of verify with the same options on what it wrote."""
    (fresh / "labels.csv").write_text("0.png,1\n1.png,2\n2.png,0\n")
    (fresh / "flat.onnx").write_bytes(classifier())
    checks = (
        "--tensors",
        "--labels",
        "labels.csv",
        "--min-sqnr",
        "classes:5",
        "--min-cosine",
        "0.5",
    )
    arguments = ("flat.onnx", "--data", "imgs", "--rules", "rules.yaml", *checks, *QUICK)
    one = result(succeeded(fresh.run("quantize", *arguments, "--json")))["verify"]
    models = ("flat.onnx", "flat.qdq.onnx")
    same = result(
        succeeded(fresh.run("verify", *models, "--data", "imgs", *checks, *QUICK, "--json"))
    )
    assert one == same
    assert one["models"][0]["numeric"]["tensors"]
    assert one["models"][0]["numeric"]["accuracy"]["labelled"] == 3


def classifier():
    made = from_text(MODEL)
    made.graph.node.append(onnx.helper.make_node("GlobalAveragePool", ["y"], ["p"], name="pool"))
    made.graph.node.append(onnx.helper.make_node("Flatten", ["p"], ["classes"], name="flat"))
    made.graph.output[0].CopyFrom(
        onnx.helper.make_tensor_value_info("classes", onnx.TensorProto.FLOAT, [1, 4])
    )
    return made.SerializeToString()


def test_it_compiles_as_verify_does(fresh):
    options = ("--target", "sm89", "--fp32-engine", "--min-int8", "1", "--timeout", "300")
    options = (*options, "--keep-engine", "model.engine")
    told = result(succeeded(fresh.run("quantize", *ARGUMENTS, *options, "--json")))
    compiled = told["verify"]["models"][0]["compiled"]
    assert compiled["targets"] == [[8, 9]]
    assert compiled["fp32_engine_bytes"] > 0
    assert compiled["engine_file"] == "model.engine"
    assert (fresh / "model.engine").stat().st_size == compiled["engine_bytes"]


def test_a_timeout_is_told(fresh):
    outcome = fresh.run(
        "quantize", *ARGUMENTS, "--timeout", "0.01", "--no-cache", "--min-int8", "1"
    )
    assert outcome.returncode == 1
    assert "[OQ661]" in outcome.stderr


def test_its_page_knows_recipe_and_calibration(fresh):
    succeeded(fresh.run("quantize", *ARGUMENTS, *QUICK, "--html", "one.html"))
    verify = ("verify", "model.onnx", "model.qdq.onnx", "--data", "imgs", *QUICK)
    succeeded(fresh.run(*verify, "--rules", "rules.yaml", "--html", "two.html"))
    assert (fresh / "one.html").read_text() == (fresh / "two.html").read_text()


def test_the_page_of_a_stripped_model_names_the_file_that_was_given(finished):
    (finished / "model.calib.npz").unlink()
    options = ("--existing", "strip", "-o", "again.onnx", "--html", "page.html", *QUICK)
    arguments = ("model.qdq.onnx", "--data", "imgs", "--rules", "rules.yaml", *options)
    told = result(succeeded(finished.run("quantize", *arguments, "--json")))
    assert told["verify"]["float_model"] == "model.qdq.onnx"
    page = (finished / "page.html").read_text()
    assert "against the float model <b>model.qdq.onnx</b>" in page
    assert "--rules FILE" not in page  # the plan is known


def test_a_saved_plan(fresh):
    succeeded(fresh.run("plan", "model.onnx", "--rules", "rules.yaml", "-o", "saved.plan"))
    succeeded(fresh.run("quantize", "model.onnx", "--data", "imgs", "--plan", "saved.plan", *QUICK))
    with_plan = onnx.load(fresh / "model.qdq.onnx")
    succeeded(fresh.run("quantize", *ARGUMENTS, *QUICK))
    with_rules = onnx.load(fresh / "model.qdq.onnx")
    assert with_plan.graph == with_rules.graph
    fresh.refuses("OQ217", "quantize", *ARGUMENTS, "--plan", "saved.plan")


def test_it_goes_on_from_a_checkpoint(fresh):
    (fresh / "loader.py").write_text(
        "import numpy as np\nfrom pathlib import Path\ndef load_data():\n"
        "    yield np.ones((1, 3, 16, 16))\n"
        "    if not Path('mended').exists(): 1 / 0\n"
        "    yield 2 * np.ones((1, 3, 16, 16))\n"
    )
    arguments = ("model.onnx", "--data", "loader.py", "--rules", "rules.yaml", *QUICK)
    kept = ("--checkpoint", "run.ckpt")
    assert "[OQ422]" in fresh.run("quantize", *arguments, *kept).stderr
    assert (fresh / "run.ckpt").is_file()
    assert not (fresh / "model.qdq.onnx").exists()
    (fresh / "mended").touch()
    succeeded(fresh.run("quantize", *arguments, *kept, "--resume"))
    resumed = (fresh / "model.calib.npz").read_bytes()
    assert not (fresh / "run.ckpt").exists()
    succeeded(fresh.run("quantize", *arguments))
    assert (fresh / "model.calib.npz").read_bytes() == resumed


def test_a_range_of_shapes_calibrates_on_the_usual_one(fresh):
    made = from_text(MODEL)
    made.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "h"
    onnx.save(made, fresh / "open.onnx")
    options = ("--data", "imgs", "--shape", "x:1x3x8x16/1x3x16x16/1x3x32x16", "--min-int8", "1")
    told = result(succeeded(fresh.run("quantize", "open.onnx", *options, "--json")))
    assert told["verify"]["models"][0]["compiled"]["counts"]["Conv"]["int8"] == 2
    shown = result(fresh.run("calib", "show", "open.calib.npz", "--json"))
    assert shown["input_shapes"] == {"x": [1, 3, 16, 16]}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("-o", "model.calib.npz"), "both the output and the calibration"),
        (("--html", "model.qdq.onnx"), "both the output and --html"),
        (("--html", "./model.calib.npz"), "both the calibration and --html"),
        (("--checkpoint", "model.calib.npz"), "both the calibration and the checkpoint"),
    ],
)
def test_two_outputs_in_one_place(fresh, options, told):
    assert told in fresh.refuses("OQ502", "quantize", *ARGUMENTS, *options)


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("OQ434", ("--resume",)),
        ("OQ651", ("--labels", "none.csv")),
        ("OQ654", ("--min-sqnr", "nobody:3")),
        ("OQ405", ("--shape", "x:1x3x16x16/1x3x8x8/1x3x16x16")),
        ("OQ664", ("--target", "sm1")),
        ("OQ430", ("--provider", "nobody")),
    ],
)
def test_options_are_read_before_anything_is_written(fresh, code, options):
    fresh.refuses(code, "quantize", *ARGUMENTS, *options)


RANGE = " --minShapes=x:1x3x8x8 --optShapes=x:1x3x16x16 --maxShapes=x:4x3x32x32"


@pytest.mark.parametrize(
    ("sizes", "shape", "expected"),
    [
        ("1,3,16,16", "1x3x16x16", ""),
        ("N,3,H,W", "1x3x16x16", " --shapes=x:1x3x16x16"),
        ("N,3,H,W", "1x3x8x8/1x3x16x16/4x3x32x32", RANGE),
    ],
)
def test_the_line_for_trtexec_has_the_shapes_of_dynamic_inputs(fresh, sizes, shape, expected):
    text = MODEL.replace("[1,3,16,16]", f"[{sizes}]").replace("[1,4,16,16]", "[N,4,P,Q]")
    onnx.save(from_text(text), fresh / "model.onnx")
    (fresh / "others").mkdir()
    make_picture(fresh / "others" / "0.png", 20)
    options = ("--shape", f"x:{shape}", "--verify-data", "others")
    outcome = succeeded(fresh.run("quantize", *ARGUMENTS, *QUICK, *options))
    line = "next: trtexec --onnx=model.qdq.onnx --stronglyTyped"
    assert outcome.stdout.splitlines()[-1] == line + expected


def test_the_line_for_trtexec_loads_the_plugins(fresh):
    (fresh / "others").mkdir()
    make_picture(fresh / "others" / "0.png", 20)
    (fresh / "my nms.so").touch()
    options = ("--plugin", "my nms.so", "--verify-data", "others")
    outcome = succeeded(fresh.run("quantize", *ARGUMENTS, *QUICK, *options))
    assert outcome.stdout.splitlines()[-1].endswith(" --staticPlugins='my nms.so'")


def test_tune_is_proposed_with_a_goal(fresh):
    """Half the noise of the worst output, unless there is a threshold."""
    for number in range(3, 8):
        make_picture(fresh / "imgs" / f"{number}.png", number)
    command = ("quantize", *ARGUMENTS, *QUICK, "--improve", "--without", "learn")
    low = fresh.run(*command, "--min-cosine", "1")
    assert low.returncode == 1
    *_, verdict, next_line = low.stdout.splitlines()
    figure = float(verdict.split(" dB")[0].split()[-1])
    goal = next_line.removeprefix("next: onnxq tune model.onnx --data DATA --min-sqnr ")
    assert float(goal) == pytest.approx(figure + 3, abs=0.6)
    missed = fresh.run(*command, "--min-sqnr", "99")
    assert missed.stdout.splitlines()[-1].endswith("--min-sqnr 99")
