"""A limit on what torch keeps for gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor

MEMORY: Final = 1 << 32  # bytes of one sample that are kept for gradients


class TooLargeError(Exception):
    """Gradients would need more memory than the limit."""


@contextmanager
def limited(limit: int) -> Iterator[None]:
    """Count the bytes that are saved for gradients (TooLargeError)."""
    sizes: dict[int, int] = {}

    def saved(tensor: Tensor) -> Tensor:
        sizes[tensor.data_ptr()] = tensor.nbytes
        if sum(sizes.values()) > limit:
            raise TooLargeError
        return tensor.detach()  # an output with its history would hold itself, and never be freed

    with torch.autograd.graph.saved_tensors_hooks(saved, lambda tensor: tensor):
        yield
