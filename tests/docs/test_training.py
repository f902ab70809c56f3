"""docs/training.md and docs/pytorch-quantization.md: their code runs, from top to bottom."""

import subprocess
import sys

import numpy as np
import onnx
import pytest

from tests.documents import ROOT, blocks
from tests.onnx_text import model

CLASSIFIER = """
g (float[1, 3, 16, 16] input) => (float[1, 4] scores)
<float[8, 3, 3, 3] conv1, float[8] b1, float[8, 8, 3, 3] conv2, float[8] b2, float[4, 8] fc,
 float[4] b3>
{
    [conv1] a = Conv <pads = [1, 1, 1, 1]> (input, conv1, b1)
    [relu1] b = Relu (a)
    [conv2] c = Conv <pads = [1, 1, 1, 1]> (b, conv2, b2)
    [relu2] d = Relu (c)
    [pool] e = GlobalAveragePool (d)
    [flatten] f = Flatten (e)
    [fc] scores = Gemm <transB = 1> (f, fc, b3)
}
"""
CUSTOM = """<ir_version: 8, opset_import: ["" : 17, "com.example" : 1]>
g (float[1, 4] x, float[1, 4] y) => (float[1, 4] z) <float[4, 4] w> {
    a = MatMul (x, w)
    [multi] z = com.example.MultiAdd (a, y)
}
"""
BEFORE = """
import numpy as np
rng = np.random.default_rng(0)
PICTURES = rng.normal(size=(40, 1, 3, 16, 16)).astype(np.float32)
def samples():
    for picture in PICTURES:
        yield {"input": picture}
import torch
labels = torch.arange(40)[:, None] % 4
batches = [(torch.from_numpy(PICTURES[i : i + 8, 0]), labels[i : i + 8, 0]) for i in (0, 8)]
"""


@pytest.fixture
def folder(tmp_path):
    import onnxq

    onnx.save(model(CLASSIFIER), tmp_path / "model.onnx")
    onnx.save(model(CUSTOM), tmp_path / "custom.onnx")
    onnxq.insert(
        tmp_path / "model.onnx",
        statistics=onnxq.calibrate(
            tmp_path / "model.onnx", [{"input": np.ones((1, 3, 16, 16), np.float32)}]
        ),
        output=tmp_path / "model.qdq.onnx",
    )
    rules = blocks("docs/pytorch-quantization.md", "yaml")
    for name, text in zip(("mine", "partial", "custom"), rules, strict=True):
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def run(folder, code):
    outcome = subprocess.run(
        [sys.executable, "-c", BEFORE + code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def test_the_migration_page_runs(folder):
    (folder / "model.qdq.onnx").unlink()
    printed = run(folder, "\n".join(blocks("docs/pytorch-quantization.md", "python")))
    assert "3 of 3 weighted ops quantized" in printed
    assert "2 of 3 weighted ops quantized" in printed
    assert "Quantizer('conv1'" in printed
    assert printed.rstrip().endswith("['a', 'y']")
    for name in ("trained.onnx", "tuned.onnx"):
        assert (
            onnx.load(folder / name).graph.node == onnx.load(folder / "model.qdq.onnx").graph.node
        )


def test_the_migration_page_has_every_call():
    """Those of its documentation that a user has in a script."""
    text = (ROOT / "docs" / "pytorch-quantization.md").read_text()
    calls = (
        "quant_modules.initialize", "QuantDescriptor", "TensorQuantizer", "use_fb_fake_quant",
        "MaxCalibrator", "HistogramCalibrator", "load_calib_amax", "collect_stats", "compute_amax",
        "learn_amax", "QuantMultiAdd", "sensitivity", "partial quantization", "fine-tuning",
    )  # fmt: skip
    assert [call for call in calls if call.lower() not in text.lower()] == []


def test_the_loop_of_the_training_page_runs(folder):
    loss, loop = blocks("docs/training.md", "python")
    run(folder, loop)
    assert (folder / "trained.qdq.onnx").exists()
    (folder / "loss.py").write_text(loss)
    run(
        folder,
        "import torch\nfrom loss import compute\n"
        "a, b = torch.rand(2, 8, 4, 4), torch.rand(2, 8, 4, 4)\n"
        "assert compute({'y': a}, {'y': a}, {}) == 0\n"
        "assert compute({'y': a}, {'y': b}, {}) > 0\n",
    )
