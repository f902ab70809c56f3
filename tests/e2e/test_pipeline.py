"""calibrate, insert and verify on trained models: what TensorRT makes of them, and how exact."""

import onnx
import pytest

from tests.command import onnxq, succeeded

from .conftest import CALIBRATION, EVALUATION, copied, sha256

ALL = ("quantized_yolox", "quantized_ppocr", "quantized_mobilenet", "quantized_two_inputs")


@pytest.fixture(params=ALL)
def any_quantized(request):
    return request.getfixturevalue(request.param)


def test_yolox_is_all_int8_and_exact(quantized_yolox):
    assert quantized_yolox.int8 == {"Conv": (83, 83)}
    assert quantized_yolox.verified["compiled"]["int8_macs"] == 1
    (output,) = quantized_yolox.verified["numeric"]["outputs"]
    assert output["sqnr_db"] >= 18  # the README shows 18.4; test_detections.py counts
    parts = {part["where"]: part["sqnr_db"] for part in output["parts"]}
    assert list(parts) == ["[:,:,:4]", "[:,:,4:5]", "[:,:,5:]"]
    assert quantized_yolox.sqnr == parts["[:,:,4:5]"] >= 15.8  # measured: 16.1
    assert quantized_yolox.verified["numeric"]["samples"] == len(EVALUATION)
    assert quantized_yolox.insert["weighted_ops_quantized"] == 83
    assert quantized_yolox.insert["weight_pairs"] == 83


def test_ppocr_detector_keeps_only_its_transposed_convs_in_float(quantized_ppocr):
    assert quantized_ppocr.int8 == {"Conv": (62, 62), "ConvTranspose": (0, 2)}
    in_float = [o for o in quantized_ppocr.verified["compiled"]["ops"] if o["precision"] != "int8"]
    assert {o["reason"] for o in in_float} == {"TensorRT-RTX keeps ConvTranspose in float"}
    assert quantized_ppocr.sqnr >= 17.1  # measured: 17.6


def test_mobilenet_is_all_int8(quantized_mobilenet):
    assert quantized_mobilenet.int8 == {"Conv": (52, 52), "Gemm": (1, 1)}
    assert quantized_mobilenet.sqnr >= 12.7  # measured: 13.2


def test_two_inputs_from_arrays(quantized_two_inputs):
    assert quantized_two_inputs.int8 == {"Conv": (2, 2), "MatMul": (1, 1)}
    assert quantized_two_inputs.calibrate["samples"] == 8
    assert quantized_two_inputs.sqnr >= 30  # noise goes in, so rounding is nearly all the error


def test_only_the_detector_has_parts(any_quantized, quantized_yolox):
    outputs = any_quantized.verified["numeric"]["outputs"]
    assert any(o["parts"] for o in outputs) == (any_quantized is quantized_yolox)


def test_calibration_sees_every_sample(quantized_yolox):
    assert quantized_yolox.calibrate["samples"] == len(CALIBRATION)
    assert quantized_yolox.calibrate["output"] == "model.calib.npz"


def test_lint_has_nothing_to_say_but_of_deconvolutions(any_quantized):
    findings = any_quantized.verified["lint"]
    assert {(d["code"], d["severity"]) for d in findings} <= {("OQ638", "info")}
    assert sum(d["message"].startswith("ConvTranspose ") for d in findings) == len(findings)


def test_written_model_is_valid_onnx(any_quantized):
    onnx.checker.check_model(str(any_quantized.qdq), full_check=True)


def test_input_model_is_not_touched(any_quantized):
    assert sha256(any_quantized.model) == any_quantized.digest_before


def test_folder_holds_only_what_was_announced(any_quantized):
    assert {p.name for p in any_quantized.folder.iterdir()} <= {
        "imgs", "others", "two.onnx", "model.onnx", "model.calib.npz", "model.qdq.onnx"
    }  # fmt: skip


def test_insert_again_gives_the_same_bytes(any_quantized):
    recipe = ["--rules", "yolo"] if any_quantized.insert["weight_pairs"] == 83 else []
    again = any_quantized.folder / "others" / "again.onnx"
    succeeded(onnxq("insert", *recipe, "-o", again, cwd=any_quantized.folder))
    assert again.read_bytes() == any_quantized.qdq.read_bytes()
    again.unlink()


def test_the_plain_commands_print_what_they_did(tmp_path, quantized_yolox, yolox, photographs):
    copied(photographs, EVALUATION[:2], tmp_path / "imgs")
    (tmp_path / "model.onnx").symlink_to(yolox)
    calibrate = succeeded(
        onnxq("calibrate", "model.onnx", "--data", "imgs/", "--preprocess", "yolox", cwd=tmp_path)
    )
    assert "model.calib.npz: 116 tensors, 2 samples" in calibrate.stdout
    insert = succeeded(onnxq("insert", "--rules", "yolo.yaml", cwd=tmp_path))
    assert "83 of 83 weighted ops quantized" in insert.stdout
    verify = succeeded(
        onnxq("verify", "model.onnx", "model.qdq.onnx", "--data", "imgs/", cwd=tmp_path)
    )
    assert "compiled: tensorrt-rtx" in verify.stdout
    assert "MACs in int8: 100.0%" in verify.stdout
    assert (calibrate.stderr, insert.stderr, verify.stderr) == ("", "", "")


def test_a_quantized_model_is_refused(tmp_path, already_quantized):
    outcome = onnxq("calibrate", already_quantized, "--data", tmp_path, cwd=tmp_path)
    assert outcome.returncode == 2
    assert "error[OQ530]" in outcome.stderr
    assert "ConvInteger" in outcome.stderr or "DynamicQuantizeLinear" in outcome.stderr
