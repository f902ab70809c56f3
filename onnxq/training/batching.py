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
    shapes = {name: {sample[name].shape for sample in samples} for name in samples[0]}
    if len(samples) < 2 or any(len(of) > 1 or () in of for of in shapes.values()):
        return 1
    two = samples[:2]
    with torch.no_grad():
        try:
            alone = [module.all_outputs(sample) for sample in two]
            both = module.all_outputs(stacked(two))
            apart = stacked(alone)
        except (RuntimeError, ValueError, IndexError):  # as torch says that shapes do not fit
            return 1
    return most if all(_close(both[name], apart[name]) for name in apart) else 1


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or not a.numel():
        return a.shape == b.shape
    largest = max(float(b.double().abs().max()), 1e-30)
    return bool((a.double() - b.double()).abs().mean() / largest < _CLOSE)
