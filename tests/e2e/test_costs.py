"""What the engines of trained models cost, and that the fix of a loss makes INT8 win."""

import pytest

from tests.cli.forked import onnxq
from tests.command import result, succeeded

DEPTHWISE = """schema: 1
extends: trt-int8
rules:
  - id: depthwise-in-half
    why: INT8 pads each channel of a depthwise Conv to four.
    match: {op: Conv, attr: {group: "> 1"}}
    skip: all
"""


def cost_of(quantized, qdq, *options):
    command = ("verify", quantized.model, qdq, "--gpu", "l4", "--json", *options)
    (model,) = result(succeeded(onnxq(*command, cwd=quantized.folder)))["models"]
    return model["cost"]


def macs_of(quantized):
    return sum(op["macs"] for op in quantized.verified["compiled"]["ops"])


@pytest.fixture(scope="module")
def yolox_cost(quantized_yolox):
    return cost_of(quantized_yolox, quantized_yolox.qdq)


@pytest.fixture(scope="module")
def mobilenet_cost(quantized_mobilenet):
    return cost_of(quantized_mobilenet, quantized_mobilenet.qdq)


def test_a_detector_in_int8_needs_half_of_fp16(yolox_cost, quantized_yolox):
    """Measured: 34 MB and 0.11 ms, FP16 66 MB and 0.22 ms, FP32 128 MB and 0.43 ms."""
    assert 0.45 < yolox_cost["ratio"] < 0.55
    int8, fp16, fp32 = yolox_cost["engines"]
    assert 30e6 < int8["bytes"] < 0.55 * fp16["bytes"]
    assert 1.8 * fp16["bytes"] < fp32["bytes"] < 2.1 * fp16["bytes"]
    total = macs_of(quantized_yolox)
    macs = [engine["macs"] for engine in (int8, fp16, fp32)]
    assert macs == [{"int8": total}, {"fp16": total}, {"fp32": total}]


@pytest.mark.parametrize("index", range(3))
def test_sums_are_those_of_the_kernels(yolox_cost, index):
    engine = yolox_cost["engines"][index]
    kernels = [kernel for step in engine["steps"] for kernel in step["kernels"]]
    assert len({kernel["name"] for kernel in kernels}) == len(kernels) > 80
    assert engine["listed_bytes"] == sum(kernel["bytes"] for kernel in kernels)
    assert engine["bytes"] == sum(step["bytes"] for step in engine["steps"])
    assert engine["listed_bytes"] - engine["bytes"] == sum(s["on_chip"] for s in engine["steps"])
    assert engine["seconds"] == pytest.approx(sum(s["seconds"] for s in engine["steps"]))
    assert all(step["seconds"] >= step["bytes"] / 300e9 for step in engine["steps"])
    assert engine["left_out"] == []


def test_depthwise_convs_make_a_mobilenet_slower_than_fp16(mobilenet_cost):
    """Measured: 1.48 of FP16's least time."""
    assert 1.4 < mobilenet_cost["ratio"] < 1.6
    padded = [loss for loss in mobilenet_cost["losses"] if loss["code"] == "OQ695"]
    assert len(padded) == 17  # every depthwise Conv
    excess = mobilenet_cost["engines"][0]["bytes"] - mobilenet_cost["engines"][1]["bytes"]
    assert sum(loss["bytes"] for loss in padded) > excess > 0


def test_the_fix_makes_it_faster_than_fp16(quantized_mobilenet, tmp_path):
    """Measured: 0.73 of FP16's least time."""
    (tmp_path / "half.yaml").write_text(DEPTHWISE)
    qdq = tmp_path / "half.qdq.onnx"
    command = ("insert", "--rules", tmp_path / "half.yaml", "--float", "fp16", "-o", qdq)
    succeeded(onnxq(*command, cwd=quantized_mobilenet.folder))
    cost = cost_of(quantized_mobilenet, qdq, "--max-cost-ratio", "0.8")
    assert cost["ratio"] < 0.8
    assert [loss for loss in cost["losses"] if loss["code"] == "OQ695"] == []
    assert set(cost["engines"][0]["macs"]) == {"int8", "fp16"}
    options = ("--gpu", "l4", "--max-cost-ratio", "0.8", "--quiet")
    models = (quantized_mobilenet.model, quantized_mobilenet.qdq)
    refused = onnxq("verify", *models, *options, cwd=quantized_mobilenet.folder)
    assert refused.returncode == 1
    assert "error[OQ604]: on NVIDIA L4 the Q/DQ engine takes at least 1.4" in refused.stderr
