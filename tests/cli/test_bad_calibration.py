"""What `onnxq insert` says of calibrations that it cannot use."""

import shutil

import numpy as np
import onnx
import pytest

from tests.command import result, succeeded
from tests.onnx_text import model as from_text

from .conftest import MODEL

INSERT = ("insert", "--rules", "rules.yaml")


def test_no_calibration(here):
    (here / "model.calib.npz").unlink()
    assert "run 'onnxq calibrate" in here.refuses("OQ410", *INSERT)
    here.refuses("OQ410", *INSERT, "model.onnx")


def test_missing_calibration(here):
    told = here.refuses("OQ410", *INSERT, "--calibration", "other.npz")
    assert "'other.npz' does not exist" in told


def test_several_calibrations(here):
    shutil.copy(here / "model.calib.npz", here / "copy.calib.npz")
    told = here.refuses("OQ410", *INSERT)
    assert "copy.calib.npz, model.calib.npz" in told
    assert "--calibration" in told
    succeeded(here.run(*INSERT, "--calibration", "copy.calib.npz"))


def test_the_model_chooses_among_calibrations(here):
    onnx.save(from_text(MODEL, seed=1), here / "other.onnx")
    succeeded(here.run("calibrate", "other.onnx", "--data", "imgs"))
    (here / "damaged.calib.npz").write_bytes(b"PK")
    assert "calibration other.calib.npz" in succeeded(here.run(*INSERT, "other.onnx")).stdout


def test_none_of_the_calibrations_is_of_the_model(here):
    shutil.copyfile(here / "model.calib.npz", here / "second.calib.npz")
    onnx.save(from_text(MODEL, seed=1), here / "other.onnx")
    told = here.refuses("OQ410", "insert", "other.onnx")
    assert "none of the 2 calibrations in this folder is of 'other.onnx'" in told
    assert "onnxq calibrate other.onnx" in told


def test_calibration_of_another_model(here):
    onnx.save(from_text(MODEL, seed=1), here / "model.onnx")
    told = here.refuses("OQ411", *INSERT)
    assert "onnxq calibrate model.onnx" in told
    onnx.save(from_text(MODEL, seed=2), here / "other.onnx")
    here.refuses("OQ411", *INSERT, "other.onnx")


def test_model_changed_by_one_bit(here):
    model = onnx.load(here / "model.onnx")
    raw = bytearray(model.graph.initializer[0].raw_data)
    raw[0] ^= 1
    model.graph.initializer[0].raw_data = bytes(raw)
    onnx.save(model, here / "model.onnx")
    here.refuses("OQ411", *INSERT)


def test_changed_external_data(here):
    onnx.save(
        from_text(MODEL),
        here / "model.onnx",
        save_as_external_data=True,
        location="w.bin",
        size_threshold=0,
    )
    succeeded(here.run("calibrate", "model.onnx", "--data", "imgs"))
    succeeded(here.run(*INSERT, "-o", "good.onnx"))
    content = bytearray((here / "w.bin").read_bytes())
    content[5] ^= 1
    (here / "w.bin").write_bytes(content)
    here.refuses("OQ411", *INSERT)


def test_model_that_is_gone(here):
    (here / "model.onnx").unlink()
    assert "onnxq insert MODEL" in here.refuses("OQ301", *INSERT)


@pytest.mark.parametrize("cut", [0, 1, 30, 300, -1, -30])
def test_cut_calibration(here, cut):
    content = (here / "model.calib.npz").read_bytes()
    (here / "model.calib.npz").write_bytes(content[:cut])
    told = here.refuses("OQ412", *INSERT)
    assert "make it again with 'onnxq calibrate'" in told


def test_flipped_bits_are_found(here):
    whole = (here / "model.calib.npz").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(8):
        content = bytearray(whole)
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        (here / "model.calib.npz").write_bytes(content)
        here.refuses("OQ412", *INSERT, "-o", "out.onnx")


@pytest.mark.parametrize("arrays", [{}, {"meta": np.zeros(3)}, {"x": np.zeros(3, np.float32)}])
def test_another_npz_as_calibration(here, arrays):
    np.savez(here / "model.calib.npz", **arrays)
    here.refuses("OQ412", *INSERT)


def test_folder_as_calibration(here):
    here.refuses("OQ412", *INSERT, "--calibration", "imgs")


WEIGHTS = """\
schema: 1
rules:
  - {id: weights, why: t, match: {op: Conv}, quantize: {weights: {method: max}}}
"""


def test_weights_alone_need_no_calibration_that_fits(here):
    (here / "weights.yaml").write_text(WEIGHTS)
    options = ("insert", "other.onnx", "--rules", "weights.yaml")
    onnx.save(from_text(MODEL, seed=5), here / "other.onnx")
    assert result(succeeded(here.run(*options, "--json")))["calibration"] is None
    here.refuses("OQ411", *options, "--calibration", "model.calib.npz")
    shutil.copyfile(here / "model.calib.npz", here / "second.calib.npz")
    assert result(succeeded(here.run(*options, "--json")))["calibration"] is None
    same = ("insert", "model.onnx", "--rules", "weights.yaml", "--json")
    (here / "second.calib.npz").unlink()
    assert result(succeeded(here.run(*same)))["calibration"] == "model.calib.npz"
    (here / "model.calib.npz").unlink()
    here.refuses("OQ410", "insert", "--rules", "weights.yaml")
    here.refuses("OQ225", "quantize", "model.onnx", "--rules", "rules.yaml")
