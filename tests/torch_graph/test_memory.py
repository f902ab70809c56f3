"""What torch keeps for gradients: counted, and freed when nobody needs it any more."""

import weakref

import pytest
import torch

from onnxq.torch_graph.memory import TooLargeError, limited


def test_what_was_kept_is_freed_with_the_outputs():
    """Sigmoid keeps its own output: with its history that would hold itself."""
    x = torch.ones(4, requires_grad=True)
    with limited(1 << 20):
        inner = torch.sigmoid(x)
        y = torch.sigmoid(inner)
    (gradient,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
    assert torch.allclose(gradient, y * (1 - y) * inner * (1 - inner))
    kept = [weakref.ref(inner), weakref.ref(y)]
    del inner, y
    assert [reference() for reference in kept] == [None, None]


def test_more_than_the_limit_is_refused():
    x = torch.ones(4, requires_grad=True)
    with limited(16):
        y = torch.sigmoid(x)
    with pytest.raises(TooLargeError), limited(31):
        torch.sigmoid(torch.sigmoid(y))
