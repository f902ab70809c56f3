"""--existing on every verb, and onnxq strip."""

import numpy as np
import onnx
import pytest

from tests.command import result, succeeded
from tests.inserting import computed
from tests.onnx_text import model

QUICK = ("--backend", "onnxruntime")


def test_strip_and_what_it_says(finished):
    outcome = succeeded(finished.run("strip", "model.qdq.onnx"))
    assert outcome.stdout == "model.float.onnx: 2 pairs removed, 2 stored constants dequantized\n"
    told = result(succeeded(finished.run("strip", "model.qdq.onnx", "-o", "f.onnx", "--json")))
    assert (told["output"], told["pairs"], told["dequantized"]) == ("f.onnx", 2, 2)
    assert (finished / "f.onnx").read_bytes() == (finished / "model.float.onnx").read_bytes()
    x = np.random.default_rng(0).random((1, 3, 16, 16), np.float32)
    before, after = (onnx.load(finished / n) for n in ("model.onnx", "model.float.onnx"))
    expected, found = computed(before, x=x)[0], computed(after, x=x)[0]
    assert 0 < np.square(found - expected).mean() < 1e-3 * np.square(expected).mean()


def test_strip_writes_over_nothing_that_it_reads(finished):
    finished.refuses("OQ502", "strip", "model.qdq.onnx", "-o", "model.qdq.onnx")
    finished.refuses("OQ501", "strip", "model.qdq.onnx", "-o", "missing/f.onnx")
    finished.refuses("OQ531", "strip", "model.onnx")
    finished.refuses("OQ301", "strip", "nobody.onnx")


@pytest.mark.parametrize("existing", ["keep", "strip"])
def test_quantize_a_quantized_model(finished, existing):
    (finished / "model.calib.npz").unlink()
    arguments = ("model.qdq.onnx", "--data", "imgs", "--rules", "rules.yaml")
    finished.refuses("OQ303", "quantize", *arguments)
    options = ("--existing", existing, "-o", "again.onnx", *QUICK, "--json")
    told = result(succeeded(finished.run("quantize", *arguments, *options)))
    assert told["insert"]["weighted_ops_quantized"] == 2
    assert (told["calibrate"] is None) == (existing == "keep")  # nothing is left to observe
    (output,) = told["verify"]["models"][0]["numeric"]["outputs"]
    assert (output["sqnr_db"] == "inf") == (existing == "keep")
    assert float(output["sqnr_db"]) > 40  # measured: 44.4
    ops = [n.op_type for n in onnx.load(finished / "again.onnx").graph.node]
    assert ops.count("QuantizeLinear") == 2


def only_second(finished):
    """A Q/DQ model of which the second Conv is float."""
    (finished / "half.yaml").write_text(
        "schema: 1\nextends: trt-int8\nrules:\n"
        "  - {id: second, why: w, match: {name: second}, skip: all}\n"
    )
    succeeded(finished.run("insert", "--rules", "half.yaml", "-o", "half.onnx"))
    (finished / "model.calib.npz").unlink()


def test_a_model_that_is_half_done_is_completed(finished):
    only_second(finished)
    keep = ("--existing", "keep")
    succeeded(finished.run("calibrate", "half.onnx", "--data", "imgs", *keep))
    finished.refuses("OQ303", "insert")
    finished.refuses("OQ411", "insert", "--existing", "strip")
    outcome = succeeded(finished.run("insert", *keep))
    assert "2 of 2 weighted ops quantized: 1 activation pair, 1 int8 weight," in outcome.stdout
    assert "2 have pairs already" in outcome.stdout
    outcome = succeeded(
        finished.run("verify", "model.onnx", "half.qdq.onnx", "--data", "imgs", "--min-int8", "1")
    )
    assert "lint: 0 errors, 0 warnings" in outcome.stdout
    told = succeeded(finished.run("plan", "half.onnx", *keep)).stdout
    assert "second input[0] b " in " ".join(told.split())
    assert "first" not in told


def test_a_completed_model_is_compared_with_the_one_that_had_fewer_pairs(finished):
    only_second(finished)
    arguments = ("half.onnx", "--data", "imgs", "--existing", "keep", *QUICK)
    succeeded(finished.run("quantize", *arguments))
    options = ("--data", "imgs", *QUICK, "--min-sqnr", "20")
    outcome = succeeded(finished.run("verify", "half.onnx", "half.qdq.onnx", *options))
    assert (
        "  half.onnx has 2 pairs itself: the figures show only what other pairs" in outcome.stdout
    )
    told = result(finished.run("verify", "half.onnx", "half.qdq.onnx", *options, "--json"))
    assert told["float_pairs"] == 2
    outcome = succeeded(finished.run("verify", "model.onnx", "half.onnx", *options))
    assert "itself" not in outcome.stdout
    finished.refuses("OQ603", "verify", "half.qdq.onnx", "half.onnx", *options)


def test_explain_says_nothing_of_what_is_kept(finished):
    only_second(finished)
    outcome = succeeded(finished.run("explain", "half.onnx", "second", "--existing", "keep"))
    assert "decided by weighted-ops" in outcome.stdout


# A DequantizeLinear of an input stays (OQ532), and what cut off below zero was a Relu (OQ533).
UNSIGNED = """
tiny (uint8[1,1,2,2] x) => (float[1,1,2,2] y)
<float[1,1,1,1] w = {0.5}, float s = {0.1}, uint8 z = {0}> {
    [in] f = DequantizeLinear (x, s, z)
    [conv] a = Conv (f, w)
    [a_q] aq = QuantizeLinear (a, s, z)
    [a_dq] b = DequantizeLinear (aq, s, z)
    [second] y = Conv (b, w)
}
"""
VERBS = {
    "strip": ("strip", "unsigned.onnx"),
    "plan": ("plan", "unsigned.onnx", "--existing", "strip"),
    "explain": ("explain", "unsigned.onnx", "conv", "--existing", "strip"),
    "calibrate": ("calibrate", "unsigned.onnx", "--data", "x.npy", "--existing", "strip"),
    "insert": ("insert", "unsigned.onnx", "--existing", "strip"),
    "quantize": (
        "quantize", "unsigned.onnx", "--data", "x.npy", "--existing", "strip", "-o", "q.onnx",
        *QUICK,
    ),
}  # fmt: skip


@pytest.fixture
def unsigned(here):
    onnx.save(model(UNSIGNED), here / "unsigned.onnx")
    np.save(here / "x.npy", np.full((1, 1, 2, 2), 7, np.uint8))
    (here / "model.calib.npz").unlink()
    succeeded(here.run(*VERBS["calibrate"]))
    return here


@pytest.mark.parametrize("verb", VERBS)
def test_what_stripping_tells_is_told_as_text_and_in_json(unsigned, verb):
    outcome = unsigned.run(*VERBS[verb])
    told = outcome.stderr
    assert told.count("warning[OQ533]") == told.count("warning[OQ532]") == 1
    assert outcome.returncode == (verb == "quantize")  # verify refuses what stays
    outcome = unsigned.run(*VERBS[verb], "--json")
    codes = [d["code"] for d in result(outcome)["diagnostics"]]
    assert codes[:2] == ["OQ533", "OQ532"]


COMPLETE = """
kept (float[4,8] x) => (float[4,2] y)
<float s = {0.01}, int8 z = {0}, float[2] ws = {0.02, 0.03}, int8[2] wz = {0, 0},
 int8[8,2] w = {1, -2, 3, -4, 5, -6, 7, -8, 9, -10, 11, -12, 13, -14, 15, -16}> {
    [q] xq = QuantizeLinear (x, s, z)
    [d] xd = DequantizeLinear (xq, s, z)
    [dw] wd = DequantizeLinear <axis = 1> (w, ws, wz)
    [mm] y = MatMul (xd, wd)
}
"""
TWO_OPS = COMPLETE.replace("[mm] y = MatMul (xd, wd)", "[mm] m = MatMul (xd, wd) [r] y = Relu (m)")


@pytest.mark.parametrize("text", [COMPLETE, TWO_OPS], ids=["one op", "an activation behind it"])
@pytest.mark.parametrize("float_type", ["fp32", "fp16"])
def test_quantize_keeps_a_model_that_is_complete(here, text, float_type):
    onnx.save(model(text), here / "complete.onnx")
    command = ("quantize", "complete.onnx", "--existing", "keep", "--data", "random")
    options = ("--float", float_type, "-o", "kept.onnx", "--backend", "onnxruntime")
    told = succeeded(here.run(*command, *options))
    assert "1 of 1 weighted ops quantized" in told.stdout
    assert "OQ205" not in told.stderr
    assert (here / "kept.onnx").exists()
