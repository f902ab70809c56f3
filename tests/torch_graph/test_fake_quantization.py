"""Q/DQ pairs in torch: values as onnxq's own, gradients as LSQ and TQT define them."""

import numpy as np
import pytest
import torch

from onnxq.descriptor import QuantDescriptor
from onnxq.model.graph import Edge
from onnxq.planning.plan import Pair
from onnxq.quantization import dequantize, quantize
from onnxq.torch_graph.fake_quantization import fake_quantize, grid_of


def pair(axis=None, **how):
    granularity = "per_tensor" if axis is None else "per_channel"
    descriptor = QuantDescriptor(**{"granularity": granularity, **how})
    edges = (Edge(node="n", slot=0),)
    return Pair(
        tensor="x", kind="weight", descriptor=descriptor, axis=axis, edges=edges, group=None
    )


KINDS = {
    "per tensor": pair(),
    "per channel": pair(1),
    "narrow range": pair(0, narrow_range=True),
    "int4 blocks": pair(0, dtype="int4", granularity="per_block", block_size=32),
    "fp8": pair(dtype="fp8e4m3"),
}
SCALES = {
    "per tensor": np.array(0.02, np.float32),
    "per channel": np.array([0.01, 0.02, 0.04], np.float32),
    "narrow range": np.linspace(0.01, 0.03, 64, dtype=np.float32),
    "int4 blocks": np.array([[0.1, 0.2, 0.4], [0.3, 0.3, 0.3]], np.float32),
    "fp8": np.array(0.003, np.float32),
}


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_a_pair(kind):
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    to, scale = KINDS[kind], SCALES[kind]
    how = {"axis": to.axis, "dtype": to.descriptor.dtype, "block_size": to.descriptor.block_size}
    integers = quantize(x, scale, narrow_range=to.descriptor.narrow_range, **how)
    del how["dtype"]
    result = fake_quantize(torch.from_numpy(x), torch.tensor(scale), grid_of(to))
    np.testing.assert_allclose(result.numpy(), dequantize(integers, scale, **how), rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_papers(kind):
    """Straight through inside of the range; by the logarithm of the scale the value, less x inside.

    Of a value that saturates the derivative by log(s) is the largest value s * n itself; else it is
    s * n - x, the rounding error.
    """
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    to = KINDS[kind]
    log_scale = torch.tensor(np.log(SCALES[kind])).requires_grad_()
    seed = torch.randn(64, 3, generator=torch.Generator().manual_seed(1))
    result = fake_quantize(x, log_scale.exp(), grid_of(to))
    by_x, by_log = torch.autograd.grad(result, (x, log_scale), seed)
    size = to.descriptor.block_size or 1
    scale = np.exp(log_scale.detach().numpy())
    steps = np.repeat(scale, size, 0) if size > 1 else scale[:, None] if to.axis == 0 else scale
    limits = {"int8": (-128, 127), "int4": (-8, 7), "fp8e4m3": (-448, 448)}[to.descriptor.dtype]
    low = -127 if to.descriptor.narrow_range else limits[0]
    values = x.detach().numpy()
    whole = np.rint(values / steps) if to.descriptor.dtype != "fp8e4m3" else values / steps
    inside = (low <= whole) & (whole <= limits[1])
    assert 0 < inside.sum() < inside.size or kind == "fp8"
    np.testing.assert_allclose(by_x.numpy(), seed.numpy() * inside, rtol=1e-6)
    each = seed.numpy() * (result.detach().numpy() - np.where(inside, values, 0))
    if size > 1:
        wanted = each.reshape(-1, size, 3).sum(1)
    else:
        wanted = each.sum() if to.axis is None else each.sum(1 - to.axis)
    np.testing.assert_allclose(by_log.numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_a_picture_with_channels_last_has_the_same_gradients():
    x = torch.randn(2, 3, 4, 5)
    log_scale = torch.tensor(-4.0, requires_grad=True)
    seed = torch.randn(2, 3, 4, 5)
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        values = x.contiguous(memory_format=layout).requires_grad_()
        result = fake_quantize(values, log_scale.exp(), grid_of(pair()))
        given = seed.contiguous(memory_format=layout)
        results.append(torch.autograd.grad(result, (values, log_scale), given))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)
