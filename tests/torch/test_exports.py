"""Q/DQ models of other tools: torch's own fake quantization as exported, and onnxruntime's."""

import numpy as np
import onnx
import pytest
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import onnxq.torch
from tests.improvement.models import samples, two_convs
from tests.inserting import computed


class FakeQuantized(torch.nn.Module):
    """What pytorch-quantization exports with `use_fb_fake_quant`: torch's fake_quantize ops."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(4, 3, 3, 3))
        self.bias = torch.nn.Parameter(torch.randn(4))
        self.register_buffer("amax", self.weight.detach().abs().amax((1, 2, 3)))

    def forward(self, x):
        x = torch.fake_quantize_per_tensor_affine(x, 0.02, 0, -128, 127)
        scale = self.amax / 127
        zero = torch.zeros(4, dtype=torch.int32)
        w = torch.fake_quantize_per_channel_affine(self.weight, scale, zero, 0, -128, 127)
        return torch.relu(torch.nn.functional.conv2d(x, w, self.bias))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_an_export_of_fake_quantize_ops(tmp_path):
    path = tmp_path / "export.onnx"
    torch.manual_seed(0)
    module = FakeQuantized().eval()
    x = torch.from_numpy(samples(1)[0]["x"])
    torch.onnx.export(
        module, (x,), str(path), input_names=["x"], output_names=["y"], opset_version=17,
        dynamo=False, do_constant_folding=True,
    )  # fmt: skip
    loaded = onnxq.torch.load(path)
    assert len(loaded.quantizers) == 2
    torch.testing.assert_close(loaded(x), module(x), rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.mul_(1.01)
    out = onnxq.torch.save(loaded, path, tmp_path / "out.onnx")
    reference = computed(onnx.load(out), x=x.numpy())[0]
    np.testing.assert_allclose(loaded(x).detach().numpy(), reference, 1e-4, 1e-4)


class Reader(CalibrationDataReader):
    def __init__(self):
        self.rows = iter(samples(8))

    def get_next(self):
        return next(self.rows, None)


@pytest.mark.parametrize("activations", [QuantType.QInt8, QuantType.QUInt8])
def test_what_quantize_static_writes(tmp_path, activations):
    """Zero points at an end of the range behind a Relu, and a bias stored in int32."""
    float_path, path = tmp_path / "float.onnx", tmp_path / "static.onnx"
    onnx.save(two_convs(), float_path)
    quantize_static(
        float_path, path, Reader(), quant_format=QuantFormat.QDQ, activation_type=activations,
        weight_type=QuantType.QInt8, per_channel=True,
    )  # fmt: skip
    x = samples(1, seed=9)[0]["x"]
    loaded = onnxq.torch.load(path)
    reference = computed(onnx.load(path), x=x)[0]
    difference = np.abs(loaded(torch.from_numpy(x)).detach().numpy() - reference)
    assert (difference > 1e-4 * np.abs(reference).max()).mean() < 0.01  # next to a tie
    out = onnxq.torch.save(loaded, path, tmp_path / "out.onnx")
    before, after = (onnx.load(p).graph.initializer for p in (path, out))
    assert all(
        np.array_equal(onnx.numpy_helper.to_array(a), onnx.numpy_helper.to_array(b))
        for a, b in zip(before, after, strict=True)
    )
