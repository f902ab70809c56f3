"""`result.to_dict()` of the library is what the command prints with --json."""

import json
import shutil

import onnx
import pytest

import onnxq
from tests.cli.conftest import make_picture

ORT = ("--backend", "onnxruntime")
CALLS = {
    "calibrate": (
        ("calibrate", "model.onnx", "--data", "imgs", "-o", "new.npz"),
        lambda: onnxq.calibrate("model.onnx", "imgs", output="new.npz"),
    ),
    "calibrate, narrowed": (
        ("calibrate", "model.onnx", "--data", "imgs", "--rules", "rules.yaml", "--samples", "2",
         "--seed", "1", "--calibrator", "max", "--shard", "1/2", "-o", "new.npz"),
        lambda: onnxq.calibrate(
            "model.onnx", "imgs", recipe="rules.yaml", samples=2, seed=1, calibrator="max",
            shard="1/2", output="new.npz",
        ),
    ),
    "insert": (
        ("insert", "model.onnx", "--rules", "rules.yaml", "-o", "new.onnx"),
        lambda: onnxq.insert("model.onnx", "rules.yaml", "model.calib.npz", output="new.onnx"),
    ),
    "insert, in half precision": (
        ("insert", "--rules", "yolo", "--float", "fp16", "--io-types", "half", "-o", "new.onnx"),
        lambda: onnxq.insert(
            "model.onnx", "yolo", "model.calib.npz", float_type="fp16", io_types="half",
            output="new.onnx",
        ),
    ),
    "improve": (
        ("improve", "model.onnx", "--data", "more", "--rules", "rules.yaml", "--without", "learn",
         "--samples", "4", "-o", "new.npz"),
        lambda: onnxq.improve(
            "model.onnx", "more", "rules.yaml", "model.calib.npz", without=["learn"], samples=4,
            output="new.npz",
        ),
    ),
    "sensitivity": (
        ("sensitivity", "model.onnx", "--data", "more", "--rules", "rules.yaml", "--samples", "3",
         "--seed", "2", "--part", "one=y[:,:1]", "--html", "new.html"),
        lambda: onnxq.sensitivity(
            "model.onnx", "more", "rules.yaml", "model.calib.npz", samples=3, seed=2,
            parts={"one": "y[:,:1]"}, html="new.html",
        ),
    ),
    "tune": (
        ("tune", "model.onnx", "--data", "more", "--rules", "rules.yaml", "--min-int8", "0.4",
         "--no-improve", "-o", "new.yaml", "--html", "new.html"),
        lambda: onnxq.tune(
            "model.onnx", "more", "rules.yaml", "model.calib.npz", min_int8=0.4,
            improve=False, output="new.yaml", html="new.html",
        ),
    ),
    "plan": (
        ("plan", "model.onnx", "--rules", "rules.yaml"),
        lambda: onnxq.plan("model.onnx", "rules.yaml"),
    ),
    "explain a node": (
        ("explain", "model.onnx", "second"),
        lambda: onnxq.explain("model.onnx", "second"),
    ),
    "explain a rule": (
        ("explain", "model.onnx", "upsample", "--rules", "yolo"),
        lambda: onnxq.explain("model.onnx", "upsample", "yolo"),
    ),
    "explain a code": (("explain", "oq203"), lambda: onnxq.explain("OQ203")),
    "lint": (("lint", "model.qdq.onnx"), lambda: onnxq.lint("model.qdq.onnx")),
    "lint --fix": (
        ("lint", "broken.onnx", "--fix", "-o", "new.onnx"),
        lambda: onnxq.lint("broken.onnx", fix=True, output="new.onnx"),
    ),
    "strip": (
        ("strip", "model.qdq.onnx", "-o", "new.onnx"),
        lambda: onnxq.strip("model.qdq.onnx", output="new.onnx"),
    ),
    "verify": (
        ("verify", "model.onnx", "model.qdq.onnx"),
        lambda: onnxq.verify("model.onnx", "model.qdq.onnx"),
    ),
    "verify on data": (
        ("verify", "model.onnx", "model.qdq.onnx", "--data", "imgs", "--tensors",
         "--min-sqnr", "5", "--min-cosine", "y:0.5", *ORT),
        lambda: onnxq.verify(
            "model.onnx", "model.qdq.onnx", data="imgs", tensors=True, min_sqnr=5,
            min_cosine={"y": 0.5}, backend="onnxruntime",
        ),
    ),
    "quantize": (
        ("quantize", "model.onnx", "--data", "imgs", "--rules", "rules.yaml", "-o", "new.onnx",
         *ORT),
        lambda: onnxq.quantize(
            "model.onnx", "imgs", "rules.yaml", output="new.onnx",
            calibration_output="model.calib.npz", backend="onnxruntime",
        ),
    ),
    "calib merge": (
        ("calib", "merge", "model.calib.npz", "other.npz", "-o", "new.npz"),
        lambda: onnxq.merge(["model.calib.npz", "other.npz"], output="new.npz"),
    ),
    "calib show": (
        ("calib", "show", "--limit", "2", "--percentile", "99"),
        lambda: onnxq.summarize("model.calib.npz", limit=2, percentile=99),
    ),
    "calib show --tensor": (
        ("calib", "show", "model.calib.npz", "--tensor", "x"),
        lambda: onnxq.summarize("model.calib.npz", ["x"]),
    ),
    "cache import": (
        ("cache", "import", "calib.cache", "--model", "model.onnx", "-o", "new.npz"),
        lambda: onnxq.import_cache("calib.cache", "model.onnx", output="new.npz"),
    ),
    "cache export": (
        ("cache", "export", "model.calib.npz", "--rules", "rules.yaml", "-o", "new.cache"),
        lambda: onnxq.export_cache(
            "model.calib.npz", "model.onnx", recipe="rules.yaml", output="new.cache"
        ),
    ),
    "cache export --method": (
        ("cache", "export", "model.calib.npz", "--method", "mse", "-o", "new.cache"),
        lambda: onnxq.export_cache(
            "model.calib.npz", "model.onnx", method="mse", output="new.cache"
        ),
    ),
}  # fmt: skip


def lack_zero_points(path, broken):
    """Save the Q/DQ model without the zero points of its QuantizeLinears, which lint repairs."""
    model = onnx.load(path)
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            del node.input[2:]
    onnx.save(model, broken)


@pytest.mark.parametrize("name", CALLS)
def test_the_library_gives_what_the_command_prints(work, name):
    command, call = CALLS[name]
    lack_zero_points(work / "model.qdq.onnx", work / "broken.onnx")
    if "other.npz" in command:
        (work / "others").mkdir()
        make_picture(work / "others" / "7.png", 7)
        onnxq.calibrate("model.onnx", "others", output="other.npz")
    if "more" in command:
        (work / "more").mkdir()
        for seed in range(10 if "tune" in command else 5):
            make_picture(work / "more" / f"{seed}.png", seed)
    outcome = work.run(*command, "--json")
    assert outcome.returncode in (0, 1), outcome.stderr
    new = next((word for word in command if word.startswith("new.")), None)
    written = (work / new).read_bytes() if new else b""
    for file in work.folder.glob("new.*"):
        file.unlink()
    assert call().to_dict() == json.loads(outcome.stdout)
    if new:
        assert (work / new).read_bytes() == written


SAVED = {
    "calibrate": ("new.npz", lambda path: onnxq.calibrate("model.onnx", "imgs").save(path)),
    "insert": (
        "new.onnx",
        lambda path: onnxq.insert("model.onnx", "rules.yaml", "model.calib.npz").save(path),
    ),
    "lint --fix": ("new.onnx", lambda path: onnxq.lint("broken.onnx", fix=True).save(path)),
    "strip": ("new.onnx", lambda path: onnxq.strip("model.qdq.onnx").save(path)),
    "cache export": (
        "new.cache",
        lambda path: onnxq.export_cache(
            "model.calib.npz", "model.onnx", recipe="rules.yaml"
        ).save(path),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAVED)
def test_saving_a_result_is_giving_an_output(work, name):
    path, save = SAVED[name]
    lack_zero_points(work / "model.qdq.onnx", work / "broken.onnx")
    saved = save(path).to_dict()
    content = (work / path).read_bytes()
    shutil.move(path, "saved")
    assert CALLS[name][1]().to_dict() == saved
    assert (work / path).read_bytes() == content
