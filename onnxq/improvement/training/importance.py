"""How much noise in the tensors between blocks matters at the outputs of a model.

By the squares of gradients, as in BRECQ (Li et al., 2021, arXiv:2102.05426, section 3.3): outputs
are multiplied by random numbers, each over the root of its part's power, and the sum is
differentiated. The mean of the squares is what noise of power 1 in a value brings to the outputs.
Few samples and random numbers make it uncertain for a single value, so that it is taken as the
product of a weight for the channel, of all samples, and of one for the place, of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from onnxq.improvement.loss import Shares
from onnxq.improvement.training.blocks import Block
from onnxq.torch_graph.memory import MEMORY, TooLargeError, limited
from onnxq.torch_graph.parts import Part, Tensors

SEEDS: Final = 4


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
    shares: Mapping[str, Shares],
    rng: np.random.Generator,
    progress: Callable[[], None],
) -> list[Weights] | None:
    """The weights of the outputs of all blocks, for each sample.

    None where torch cannot compute a block, and where the values of one sample that gradients need
    take more than MEMORY. `shares` are those of the outputs of the model.
    """
    computable = [part for part in parts if part is not None]
    if len(computable) < len(parts):
        return None
    rows: list[Weights] = []
    for sample in samples:
        try:
            with limited(MEMORY):
                values = _values(sample, blocks, computable)
        except TooLargeError:
            return None
        squares = _squares(values, shares, rng)
        rows.append({name: _weight(square) for name, square in squares.items()})
        progress()
    return _with_mean_channels(rows)


def _values(sample: Tensors, blocks: Sequence[Block], parts: Sequence[Part]) -> dict[str, Tensor]:
    """The outputs of all blocks, each so that gradients reach it from later blocks alone."""
    values, made = dict(sample), dict[str, Tensor]()
    for block, part in zip(blocks, parts, strict=True):
        for name, tensor in part({n: values[n] for n in block.inputs}).items():
            if tensor.is_floating_point():
                is_first = not tensor.requires_grad
                own = tensor.detach().requires_grad_() if is_first else tensor.view_as(tensor)
                values[name] = made[name] = own
            else:
                values[name] = tensor
    return made


def _squares(
    values: Mapping[str, Tensor], shares: Mapping[str, Shares], rng: np.random.Generator
) -> dict[str, Tensor]:
    """The mean squares of the gradients of every tensor; 0 where one is not finite."""
    outputs = {name: tensor for name, tensor in values.items() if name in shares}
    roots = {n: np.sqrt(shares[n].weights(tuple(t.shape))) for n, t in outputs.items()}
    squares = {n: torch.zeros_like(t, dtype=torch.float32) for n, t in values.items()}
    for _ in range(SEEDS if outputs else 0):
        seeds = [
            torch.from_numpy(np.asarray(rng.standard_normal(roots[n].shape) * roots[n])).to(t.dtype)
            for n, t in outputs.items()
        ]
        gradients = torch.autograd.grad(
            list(outputs.values()),
            list(values.values()),
            seeds,
            retain_graph=True,
            allow_unused=True,
        )
        for name, gradient in zip(values, gradients, strict=True):
            if gradient is not None:
                squares[name] += gradient.float().nan_to_num(0, 0, 0).square() / SEEDS
    return squares


def _weight(square: Tensor) -> Weight:
    """The means over all places and over all channels; their product has the mean of the whole."""
    if not square.numel():
        return Weight(channels=torch.zeros(()), places=_ones(square))
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
