"""Training of parameters against outputs of the float model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from onnxq.improvement.training.importance import Weight, Weights
from onnxq.improvement.training.parameters import Parameters, Rates, stacked
from onnxq.planning.plan import Pair
from onnxq.torch_graph.parts import Part, Tensors

BATCH: Final = 8  # samples in a step, at most
_LEAST: Final = 2
_VALUES: Final = 1 << 19  # of the largest tensor in a step: many places of few pictures serve too
_MOMENTS: Final = (0.9, 0.99)
# Arguments: outputs of some samples, those of the float model, and which samples they are. The sum
# over the samples.
Error = Callable[[Tensors, Tensors, Sequence[int]], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """What is trained against what: a part of the graph on samples.

    `inputs` are those of the Q/DQ model, `wanted` the outputs of the float model. `together` is how
    many samples fit into one run of the part.
    """

    part: Part
    inputs: Sequence[Tensors]
    wanted: Sequence[Tensors]
    error: Error
    together: int

    def loss(self, parameters: Parameters, places: Sequence[int]) -> float:
        """The mean error of some samples."""
        with torch.no_grad():
            constants = parameters.constants(self.part)
            quantized = _quantized_weights(self.part, parameters, constants)
            read = _reader(parameters, quantized)
            errors = self._errors(places, constants, read)
            return sum(float(e) for e in errors) / len(places)

    def differentiate(self, parameters: Parameters, places: Sequence[int]) -> None:
        """Add the gradients of the mean error of some samples to those of the parameters.

        Weights are quantized once for all samples, and memory is that of `together` of them.
        """
        constants = parameters.constants(self.part)
        weights = _quantized_weights(self.part, parameters, constants)
        leaves = {pair: w.detach().requires_grad_() for pair, w in weights.items()}
        cut = {name: c.detach().requires_grad_() for name, c in constants.items()}
        for error in self._errors(places, cut, _reader(parameters, leaves)):
            (error / len(places)).backward()  # type: ignore[no-untyped-call]
        both = [(weights[p], leaf.grad) for p, leaf in leaves.items()]
        both += [(constants[name], leaf.grad) for name, leaf in cut.items()]
        tensors = [(t, g) for t, g in both if g is not None and t.requires_grad]
        torch.autograd.backward([t for t, _ in tensors], [g for _, g in tensors])

    def _errors(
        self, places: Sequence[int], constants: Tensors, read: Callable[[Pair, Tensor], Tensor]
    ) -> Iterator[Tensor]:
        for start in range(0, len(places), self.together):
            some = places[start : start + self.together]
            names = self.inputs[0].keys()
            feeds = stacked([self.inputs[i] for i in some], names)
            outputs = self.part(feeds, constants=constants, read=read)
            yield self.error(outputs, stacked([self.wanted[i] for i in some], outputs), some)


def _quantized_weights(
    part: Part, parameters: Parameters, constants: Tensors
) -> Mapping[Pair, Tensor]:
    return {
        pair: parameters.read(pair, constants[pair.tensor])
        for pair in part.pairs
        if pair.kind == "weight" and pair.tensor in constants
    }


def _reader(
    parameters: Parameters, weights: Mapping[Pair, Tensor]
) -> Callable[[Pair, Tensor], Tensor]:
    return lambda pair, x: weights[pair] if pair in weights else parameters.read(pair, x)


def together(part: Part, inputs: Sequence[Tensors]) -> int:
    """How many samples one run of a part takes: BATCH where it works on each by itself, else 1.

    Shapes written into a model, such as those of a Reshape, may permit a single sample, and samples
    of different shapes stand alone.
    """
    if any(len({sample[name].shape[1:] for sample in inputs}) > 1 for name in inputs[0]):
        return 1
    with torch.no_grad():
        try:
            names = inputs[0].keys()
            both = part(stacked(list(inputs[:2]), names))
            apart = stacked([part(sample) for sample in inputs[:2]], both)
        except (RuntimeError, ValueError, IndexError):  # as torch says that shapes do not fit
            return 1
    alike = (both[n].shape == apart[n].shape and _close(both[n], apart[n]) for n in both)
    return BATCH if all(alike) else 1


def _close(a: Tensor, b: Tensor) -> bool:
    if not a.is_floating_point() or not a.numel():
        return torch.equal(a, b)
    return bool(torch.allclose(a.double(), b.double(), rtol=1e-3, atol=1e-3 * float(b.abs().max())))


def batch_of(inputs: Sequence[Tensors], wanted: Sequence[Tensors]) -> int:
    """How many samples a step takes, by the values that a block reads and makes for one."""
    largest = max(1, *(t.numel() for t in (*inputs[0].values(), *wanted[0].values())))
    return min(BATCH, max(_LEAST, _VALUES // largest))


def error_of(wanted: Sequence[Tensors], weights: Sequence[Weights]) -> Error | None:
    """Noise power / signal power over all tensors, each value by its weight.

    None where there is no signal.
    """
    names = [n for n, t in wanted[0].items() if t.is_floating_point()]
    powers = (
        float(_weighted(w[n].square(), [of[n]])) for w, of in zip(wanted, weights, strict=True)
        for n in names
    )  # fmt: skip
    power = sum(powers) / len(wanted)
    if not 0 < power < math.inf:
        return None

    def error(outputs: Tensors, floats: Tensors, some: Sequence[int]) -> Tensor:
        each = [
            _weighted((outputs[n] - floats[n]).square(), [weights[i][n] for i in some])
            for n in names
        ]
        return torch.stack(each).sum() / power

    return error


def _weighted(squares: Tensor, weights: Sequence[Weight]) -> Tensor:
    """The sum over samples that stand one behind the other."""
    places = weights[0].places if len(weights) == 1 else torch.cat([w.places for w in weights])
    return (squares.float() * weights[0].channels * places).sum()


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long training takes, how fast, and how often the samples held back judge it."""

    steps: int
    rates: Rates
    batch: int = BATCH
    every: int = 25


def train(
    task: Task,
    parameters: Parameters,
    trained: Mapping[str, Sequence[Tensor]],
    split: tuple[Sequence[int], Sequence[int]],
    schedule: Schedule,
    rng: np.random.Generator,
    progress: Callable[[int], None],
) -> tuple[float, float]:
    """Train by Adam (Kingma and Ba, 2015, arXiv:1412.6980), the rates falling as a cosine does.

    `split` has the places of the samples to fit on and of those held back. The parameters are left
    in the state that the latter find best, which may be the first. Returns its error before and
    after.
    """
    fit, held = split
    rates = [schedule.rates[kind] for kind, ts in trained.items() if ts]
    groups = [{"params": list(ts)} for ts in trained.values() if ts]
    tensors = [tensor for group in groups for tensor in group["params"]]
    optimizer = torch.optim.Adam(groups, betas=_MOMENTS)
    first = best = task.loss(parameters, held)
    state = _copies(tensors)
    order: list[int] = []
    for step in range(schedule.steps):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (1 + math.cos(math.pi * step / schedule.steps)) / 2
        while len(order) < schedule.batch:
            order += [fit[i] for i in rng.permutation(len(fit))]
        places, order = order[: schedule.batch], order[schedule.batch :]
        optimizer.zero_grad()
        task.differentiate(parameters, places)
        optimizer.step()
        progress(step + 1)
        if (step + 1) % schedule.every == 0 or step + 1 == schedule.steps:
            now = task.loss(parameters, held)
            if now < best:
                best, state = now, _copies(tensors)
    with torch.no_grad():
        for tensor, value in zip(tensors, state, strict=True):
            tensor.copy_(value)
    return first, best


def _copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in tensors]
