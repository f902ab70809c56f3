"""How much noise in the tensors between blocks matters at the outputs of a model.

By the squares of gradients, as in BRECQ (Li et al., 2021, arXiv:2102.05426, section 3.3): outputs
are multiplied by random numbers, each over the root of its part's power, and the sum is
differentiated. The mean of the squares is what noise of power 1 in a value brings to the outputs.
Few samples and random numbers make it uncertain for a single value, so that it is taken as the
product of a weight for the channel, of all samples, and of one for the place, of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from onnxq.improvement.loss import Region
from onnxq.improvement.training.blocks import Block
from onnxq.torch_graph.parts import Part, Tensors

SEEDS: Final = 4
Regions = Mapping[str, Sequence[Region]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weight:
    """The weights of the values of a tensor: two factors that broadcast."""

    channels: Tensor
    places: Tensor


Weights = Mapping[str, Weight]


def by_power(samples: Sequence[Tensors]) -> list[Weights]:
    """Weights that give every tensor the same share, whatever its power."""
    powers = {
        name: sum(float(sample[name].float().square().sum()) for sample in samples)
        for name, tensor in samples[0].items()
        if tensor.is_floating_point()
    }
    shares = {n: torch.tensor(1 / power if power > 0 else 0.0) for n, power in powers.items()}
    return [
        {n: Weight(channels=share, places=_ones(sample[n])) for n, share in shares.items()}
        for sample in samples
    ]


def by_gradients(
    samples: Sequence[Tensors],
    blocks: Sequence[Block],
    parts: Sequence[Part | None],
    regions: Regions,
    rng: np.random.Generator,
    progress: Callable[[], None],
) -> list[Weights] | None:
    """The weights of the outputs of all blocks, for each sample.

    None where torch cannot compute a block. `regions` are the parts of the outputs of the model.
    Memory is that of all values of one sample.
    """
    computable = [part for part in parts if part is not None]
    if len(computable) < len(parts):
        return None
    rows: list[Weights] = []
    for sample in samples:
        squares = _squares(_values(sample, blocks, computable), regions, rng)
        rows.append({name: _weight(square) for name, square in squares.items()})
        progress()
    return _with_mean_channels(rows)


def _values(sample: Tensors, blocks: Sequence[Block], parts: Sequence[Part]) -> dict[str, Tensor]:
    """The outputs of all blocks, each so that gradients reach it."""
    values, made = dict(sample), dict[str, Tensor]()
    for block, part in zip(blocks, parts, strict=True):
        for name, tensor in part({n: values[n] for n in block.inputs}).items():
            is_first = tensor.is_floating_point() and not tensor.requires_grad
            values[name] = tensor.detach().requires_grad_() if is_first else tensor
            made[name] = values[name]
    return made


def _squares(
    values: Mapping[str, Tensor], regions: Regions, rng: np.random.Generator
) -> dict[str, Tensor]:
    """The mean squares of the gradients of every float tensor."""
    outputs = {n: t for n, t in values.items() if n in regions and t.requires_grad}
    inner = {n: t for n, t in values.items() if t.requires_grad}
    squares = {n: torch.zeros_like(t, dtype=torch.float32) for n, t in inner.items()}
    for _ in range(SEEDS if outputs else 0):
        seeds = [_seed(tensor, regions[n], rng) for n, tensor in outputs.items()]
        gradients = torch.autograd.grad(
            list(outputs.values()),
            list(inner.values()),
            seeds,
            retain_graph=True,
            allow_unused=True,
        )
        for name, gradient in zip(inner, gradients, strict=True):
            if gradient is not None:
                squares[name] += gradient.float().square() / SEEDS
    return squares


def _seed(output: Tensor, regions: Sequence[Region], rng: np.random.Generator) -> Tensor:
    """Random numbers for an output: every part of it has the same share."""
    seed = rng.standard_normal(tuple(output.shape))
    for index, power in regions:
        with suppress(IndexError):  # this sample is smaller than the index
            some = seed[index]
            plain = rng.standard_normal(some.shape)
            seed[index] = plain / np.sqrt(power * some.size) if power and some.size else 0
    return torch.from_numpy(seed).to(output.dtype)


def _weight(square: Tensor) -> Weight:
    """The means over all places and over all channels; their product has the mean of the whole."""
    axis = 1 if square.ndim > 3 else square.ndim - 1
    others = [a for a in range(square.ndim) if a != axis]
    if not others:
        return Weight(channels=torch.ones(()), places=square)
    mean = square.mean().clamp(min=torch.finfo(torch.float32).tiny)
    places = square.mean(dim=axis, keepdim=True) / mean
    return Weight(channels=square.mean(dim=others, keepdim=True), places=places)


def _with_mean_channels(rows: Sequence[Weights]) -> list[Weights]:
    """The weights with the mean factor of a channel over the samples of the same shape."""
    channels: dict[tuple[str, torch.Size], list[Tensor]] = {}
    for row in rows:
        for name, weight in row.items():
            channels.setdefault((name, weight.channels.shape), []).append(weight.channels)
    means = {key: torch.stack(same).mean(dim=0) for key, same in channels.items()}
    return [
        {n: replace(w, channels=means[n, w.channels.shape]) for n, w in row.items()} for row in rows
    ]


def _ones(tensor: Tensor) -> Tensor:
    """Ones that broadcast to a tensor, as many as it has along its first axis."""
    return torch.ones((tensor.shape[0], *[1] * (tensor.ndim - 1)) if tensor.ndim else ())
