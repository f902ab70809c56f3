"""Samples that run together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from onnxq.torch.module import QuantizedModule

Tensors = Mapping[str, Tensor]
_CLOSE = 1e-2  # of the largest value: roundings of pairs may fall one step apart


def stacked(samples: Sequence[Tensors]) -> dict[str, Tensor]:
    """The tensors of several samples, one behind the other along the first axis."""
    if len(samples) == 1:
        return dict(samples[0])
    return {name: torch.cat([sample[name] for sample in samples]) for name in samples[0]}


def together(module: QuantizedModule, samples: Sequence[Tensors], most: int) -> int:
    """How many samples one run takes: `most` where it works on each by itself, else 1.

    Shapes written into a model, such as those of a Reshape, may permit a single sample, and samples
    of different shapes stand alone.
    """
    if any(len({sample[name].shape[1:] for sample in samples}) > 1 for name in samples[0]):
        return 1
    first = samples[0]
    doubled = {name: torch.cat([tensor, tensor]) for name, tensor in first.items() if tensor.ndim}
    with torch.no_grad():
        try:
            alone, both = module.all_outputs(first), module.all_outputs({**first, **doubled})
        except (RuntimeError, ValueError, IndexError):  # as torch says that shapes do not fit
            return 1
    return most if all(_repeats(alone[name], both[name]) for name in alone) else 1


def _repeats(alone: Tensor, both: Tensor) -> bool:
    """True where the second is the first, twice."""
    if not alone.ndim or both.shape != (2 * alone.shape[0], *alone.shape[1:]):
        return False
    twice = torch.cat([alone, alone]).double()
    largest = max(float(twice.abs().max()), 1e-30) if twice.numel() else 1.0
    return bool(((twice - both.double()).abs().mean() / largest) < _CLOSE)
