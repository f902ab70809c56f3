"""The noise that each pair brings to the outputs, from gradients.

A random number for every value of an output part, over the root of the part's power, is
differentiated back to what each pair gives out. The square of the product of that gradient with
the rounding error of the pair is, in the mean, the noise power that the pair alone brings to the
part, as far as the network is linear within the error (Hutchinson's estimator of the trace of
J e e' J', 1990, doi:10.1080/03610919008812866).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from onnxq.feeds.samples import Tensors
from onnxq.improvement.edits import Array
from onnxq.improvement.subject import Subject
from onnxq.planning.plan import Pair
from onnxq.sensitivities.judged import JudgedParts
from onnxq.torch_graph.fake_quantization import fake_quantize, grid_of
from onnxq.torch_graph.parts import Part, TorchGraph
from onnxq.torch_graph.probe import Probe, probe, seed

DRAWS: Final = 24  # random numbers of each kind, over all samples and parts
LEAST: Final = 8  # of them for a part


def by_gradients(
    subject: Subject,
    samples: Sequence[Tensors],
    parts: JudgedParts,
    rng: np.random.Generator,
    progress: Callable[[], None],
) -> Array:
    """Noise power / signal power by pair, in the order of the scales, and by part of the outputs.

    NaN stands for pairs whose gradient never was finite.
    Raises LackingError where torch lacks an operator, and TooLargeError.
    """
    errors = _Errors(subject, parts, rng)
    count = len(parts.names)
    draws = max(DRAWS, LEAST * count, len(samples))
    total, drawn = np.zeros((2, len(subject.scales.by_pair), count))
    for number, sample in enumerate(samples):
        first, end = (n * draws // len(samples) for n in (number, number + 1))
        places = [draw % count for draw in range(first, end)]
        for place, squares in zip(places, errors.squares(sample, places), strict=True):
            total[:, place] += np.nan_to_num(squares)
            drawn[:, place] += np.isfinite(squares)
        progress()
    return np.divide(total, drawn, out=np.full_like(total, np.nan), where=drawn > 0)


class _Errors:
    """The graph in torch, with the rounding errors of its weights."""

    def __init__(self, subject: Subject, parts: JudgedParts, rng: np.random.Generator) -> None:
        self._parts, self._rng = parts, rng
        self._index = {pair: i for i, pair in enumerate(subject.scales.by_pair)}
        self._logs = {
            pair: torch.tensor(np.log(np.asarray(scale, np.float32)))
            for pair, scale in subject.scales.by_pair.items()
        }
        graph = TorchGraph(subject.graph, self._index)
        self._part: Part = graph.part(subject.graph.inputs, list(parts.shares))
        self._weights: dict[Pair, Tensor] = {}

    def squares(self, sample: Tensors, places: Sequence[int]) -> list[Array]:
        """For each of the places, a part's, the square of gradient * error of every pair.

        It is NaN where the gradient is not finite.
        """
        feeds = {name: torch.from_numpy(np.array(array)) for name, array in sample.items()}
        probed = probe(self._part, feeds)
        return [self._square(probed, place) for place in places]

    def _square(self, probed: Probe, place: int) -> Array:
        squares = np.zeros(len(self._index))
        seeds = {name: self._seed(name, x, place) for name, x in probed.outputs.items()}
        gradients = probed.gradients({n: x for n, x in seeds.items() if x is not None})
        for pair, gradient in gradients.items():
            error = self._error(pair, probed.tensors[pair].detach())
            product = float(torch.dot(gradient.reshape(-1).float(), error.reshape(-1).float()))
            squares[self._index[pair]] = product**2 if math.isfinite(product) else math.nan
        return squares

    def _seed(self, output: str, tensor: Tensor, place: int) -> Tensor | None:
        """Random numbers over the root of the power of a part; None for one of another output."""
        shape = tuple(tensor.shape)
        weights = dict(self._parts.weights(output, shape)).get(place)
        if weights is None:
            return None
        return seed(tensor, weights, self._rng)

    def _error(self, pair: Pair, x: Tensor) -> Tensor:
        """What rounding adds to a tensor; of a weight it is computed once."""
        if pair in self._weights:
            return self._weights[pair]
        error = fake_quantize(x, self._logs[pair].exp(), grid_of(pair)).detach() - x
        if pair.kind == "weight":
            self._weights[pair] = error
        return error
