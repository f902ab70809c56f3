"""Quantizers: what they compute and differentiate, and how they calibrate."""

import numpy as np
import pytest
import torch

import onnxq.torch
from onnxq.calibration.histogram import BitHistogram
from onnxq.calibration.methods import amax
from onnxq.descriptor import QuantDescriptor
from onnxq.diagnostics import OnnxqError

from .models import IN_FLOAT, dotted, stored


def quantizers():
    return onnxq.torch.load(stored()).quantizers


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["x", "w"])
def test_values_and_gradients_are_those_of_torchs_learnable_quantization(name):
    """By x, and by amax, which is 127 scales."""
    quantizer, axis = quantizers()[name], {"x": None, "w": 1}[name]
    x, seed = random(4, 3) * 4, random(4, 3, seed=1)
    x.requires_grad_()
    result = quantizer(x)
    by_x, by_amax = torch.autograd.grad(result, (x, quantizer.amax), seed)
    scale = quantizer.scale.detach().reshape(-1).clone().requires_grad_()
    zero = torch.zeros(len(scale), requires_grad=True)
    if axis is None:
        reference = torch._fake_quantize_learnable_per_tensor_affine(x, scale, zero, -128, 127)
    else:
        reference = torch._fake_quantize_learnable_per_channel_affine(
            x, scale, zero, axis, -128, 127
        )
    wanted_x, wanted_scale = torch.autograd.grad(reference, (x, scale), seed)
    assert 0 < (by_x == 0).sum() < x.numel()  # some values saturate
    torch.testing.assert_close(result, reference)
    torch.testing.assert_close(by_x, wanted_x)
    torch.testing.assert_close(by_amax.reshape(-1), wanted_scale / 127)


def test_off_a_tensor_passes_as_it_is():
    quantizer, x = quantizers()["x"], random(5, 4)
    quantizer.fake_quant(False)
    assert quantizer(x) is x
    quantizer.fake_quant()
    assert not torch.equal(quantizer(x), x)


@pytest.mark.parametrize("method", ["max", "percentile", "mse", "entropy"])
def test_amax_by_what_was_counted(method):
    quantizer, x = quantizers()["x"], random(3, 1000, 4)
    quantizer.enable_calib()
    for part in x:
        quantizer(part)
    quantizer.load_calib_amax(method, percentile=99.0)
    how = QuantDescriptor(method=method, percentile=99.0)
    assert quantizer.amax.item() == np.float32(amax(BitHistogram.of(x.numpy()), how, tensor="x"))
    with pytest.raises(OnnxqError, match="OQ704"):
        quantizer.load_calib_amax()


def test_amax_of_each_channel():
    quantizer, w = quantizers()["w"], random(4, 3)
    quantizer.enable_calib()
    quantizer(w)
    with pytest.raises(OnnxqError, match="OQ705"):
        quantizer.load_calib_amax("entropy")
    quantizer.load_calib_amax()
    torch.testing.assert_close(quantizer.amax.detach(), w.abs().amax(0))


def test_amax_of_nothing_but_zeros_stays_above_zero():
    quantizer = quantizers()["x"]
    quantizer.enable_calib()
    quantizer(torch.zeros(4))
    quantizer.load_calib_amax()
    assert 0 < quantizer.amax.item() < 1e-30


def test_16_bits_stay_16_bits():
    quantizer, x = quantizers()["x"], random(5, 4)
    for dtype in (torch.float16, torch.bfloat16):
        assert quantizer(x.to(dtype)).dtype == dtype


def test_it_says_what_it_is():
    assert repr(quantizers()["w"]) == "Quantizer('w', -128 to 127 along axis 1)"


def test_a_weight_in_float_has_a_quantizer_of_its_name():
    loaded = onnxq.torch.load(dotted(IN_FLOAT))
    assert list(loaded.quantizers) == ["x", "layer.0.weight"]
