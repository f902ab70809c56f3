"""INT4 weights without a calibration, on a trained encoder."""

import shutil

import pytest

from onnxq.model.io import load
from onnxq.model.metadata import metadata_of
from tests.cli.forked import onnxq
from tests.command import result, succeeded


@pytest.fixture(scope="module")
def quantized(quantized_minilm, tmp_path_factory):
    """What `quantize` says and writes without --data."""
    folder = tmp_path_factory.mktemp("weights_alone")
    shutil.copyfile(quantized_minilm.model, folder / "model.onnx")
    others = quantized_minilm.folder / "others"
    command = ("quantize", "model.onnx", "--rules", "trt-int4-weights", "--verify-data", others)
    return folder, result(succeeded(onnxq(*command, "--json", cwd=folder)))


def test_products_read_int4_in_the_engine(quantized):
    _, told = quantized
    (model,) = told["verify"]["models"]
    counts = model["compiled"]["counts"]["MatMul"]
    assert (counts["int4"], counts["total"]) == (36, 48)  # the others have no weight
    assert told["insert"]["weight_pairs"] == 36
    assert told["insert"]["activation_pairs"] == 0


def test_blocks_of_32_and_mse_are_worth_three_decibels(quantized):
    _, told = quantized
    (model,) = told["verify"]["models"]
    assert model["numeric"]["sqnr_db"] > 10.7  # measured: 11.0; 8.0 by max in blocks of 128


def test_nothing_of_a_calibration_is_left_or_told(quantized):
    folder, told = quantized
    assert {p.name for p in folder.iterdir()} == {"model.onnx", "model.qdq.onnx"}
    assert told["calibrate"] is None
    assert metadata_of(load(folder / "model.qdq.onnx")).keys() == {
        "version", "recipe", "plan", "float"
    }  # fmt: skip


def test_insert_alone_gives_the_same_bytes(quantized):
    folder, _ = quantized
    command = ("insert", "model.onnx", "--rules", "trt-int4-weights", "-o", "again.onnx", "--json")
    assert result(succeeded(onnxq(*command, cwd=folder)))["calibration"] is None
    assert (folder / "again.onnx").read_bytes() == (folder / "model.qdq.onnx").read_bytes()
    (folder / "again.onnx").unlink()
