"""A fault in the class scores alone of a trained YOLOX: the output as a whole hides it."""

import onnx
import pytest

from tests.cli.forked import onnxq
from tests.command import result
from tests.verification.test_seeded_faults import with_class_branch

from .rendered_characters import characters


@pytest.fixture(scope="module")
def folder(tmp_path_factory, yolox):
    """A YOLOX quantized for characters, and the same with all amaxes of its class branch at 1/4."""
    folder = tmp_path_factory.mktemp("characters")
    for name, count, first in (("imgs", 8, 0), ("others", 4, 100)):
        (folder / name).mkdir()
        for seed in range(first, first + count):
            characters(seed).save(folder / name / f"{seed}.png")
    (folder / "model.onnx").write_bytes(yolox.read_bytes())
    for command in (
        ("calibrate", "model.onnx", "--data", "imgs/", "--preprocess", "yolox"),
        ("insert", "--rules", "yolo", "-o", "healthy.onnx"),
    ):
        assert onnxq(*command, cwd=folder).returncode == 0
    faulty = with_class_branch(onnx.load(folder / "healthy.onnx"), 2, 0.25)
    onnx.save(faulty, folder / "faulty.onnx")
    return folder


def test_the_verdict_names_the_scores(folder):
    parts = ("--part", "boxes=output[:,:,:4]", "--part", "classes=output[:,:,5:]")
    outcome = onnxq(
        "verify", "model.onnx", "healthy.onnx", "faulty.onnx", "--data", "others/", "--json",
        "--backend", "onnxruntime", "--detections", "yolox", *parts, "--min-sqnr", "output:1",
        "--min-sqnr", "classes:20",
        cwd=folder,
    )  # fmt: skip
    assert outcome.returncode == 1
    report = result(outcome)
    (missed,) = (d["message"] for d in report["diagnostics"] if d["code"] == "OQ604")
    assert missed.startswith("'faulty.onnx': the SQNR of part 'classes' of output 'output' is 1")
    healthy, faulty = (model["numeric"]["outputs"][0] for model in report["models"])
    before, after = ({p["name"]: p["sqnr_db"] for p in o["parts"]} for o in (healthy, faulty))
    assert before["boxes"] == after["boxes"]
    assert before["classes"] - after["classes"] > 4  # measured: 23.0 and 18.3
    assert healthy["sqnr_db"] - faulty["sqnr_db"] < 1
    before, after = (model["numeric"]["detections"] for model in report["models"])
    assert (before["decoder"], before["least_score"]) == ("yolox", 0.25)
    assert before["float_count"] == after["float_count"] >= 5
    assert before["kept"] >= 0.8  # measured: 4 of 5
    assert before["score_change"] - after["score_change"] > 0.08  # measured: -0.006 and -0.115
