"""Gradients of the outputs of a graph by what its nodes read through pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onnxq.planning.plan import Pair
from onnxq.torch_graph.memory import MEMORY, limited
from onnxq.torch_graph.parts import Part, Tensors


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """One float run of a part: its outputs, and the tensors that nodes read through each pair."""

    outputs: Mapping[str, Tensor]
    tensors: Mapping[Pair, Tensor]

    def gradients(self, seeds: Mapping[str, Tensor]) -> dict[Pair, Tensor]:
        """The gradients of the sum of outputs * seeds; of pairs that they do not depend on none."""
        judged = [name for name in seeds if self.outputs[name].requires_grad]
        if not judged:
            return {}
        gradients = torch.autograd.grad(
            [self.outputs[name] for name in judged],
            list(self.tensors.values()),
            [seeds[name] for name in judged],
            retain_graph=True,
            allow_unused=True,
        )
        return {
            pair: gradient
            for pair, gradient in zip(self.tensors, gradients, strict=True)
            if gradient is not None
        }


def seed(output: Tensor, weights: NDArray[np.floating], rng: np.random.Generator) -> Tensor:
    """Normal random numbers times the roots of weights; 0 where an output is not finite."""
    values = torch.from_numpy(np.asarray(rng.standard_normal(weights.shape) * np.sqrt(weights)))
    return values.to(output.dtype).where(output.detach().isfinite(), 0)


def probe(part: Part, feeds: Tensors) -> Probe:
    """Run a part in float, so that gradients reach what its pairs stand on (TooLargeError)."""
    seen: dict[Pair, Tensor] = {}

    def read(pair: Pair, x: Tensor) -> Tensor:
        seen[pair] = x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
        return seen[pair]

    with limited(MEMORY):
        return Probe(part(feeds, read=read), seen)
