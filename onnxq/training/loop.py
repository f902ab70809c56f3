"""The loop: batches, a rate that falls as a cosine does, and samples held out that judge."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from onnxq.torch.module import QuantizedModule
from onnxq.training.batching import stacked, together
from onnxq.training.epochs import Epoch
from onnxq.training.losses import Tensors, TrainingLoss
from onnxq.training.variables import Learn, Variables

_MOMENTS: Final = (0.9, 0.99)
_WARM: Final = 10  # steps until the rates are reached: the first ones of Adam know signs alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long, how fast and what: `rate` multiplies the usual rates, `patience` is in epochs."""

    epochs: int
    batch: int
    rate: float = 1.0
    patience: int | None = None
    learn: Learn = "all"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """A sample: its inputs, and what the float model makes of them."""

    inputs: Tensors
    wanted: Tensors


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """Variables, the best ones, and the moments of the optimizer after so many steps."""

    tensors: list[Tensor]
    steps: int


class Training:
    """A module in training: `run` brings it forward epoch by epoch."""

    def __init__(
        self,
        module: QuantizedModule,
        loss: TrainingLoss,
        examples: Sequence[Example],
        schedule: Schedule,
        seed: int,
    ) -> None:
        self._module, self._loss = module, loss
        self._examples, self._schedule = examples, schedule
        self._together = together(module, [e.inputs for e in examples], schedule.batch)
        self.rng = np.random.default_rng(seed)
        self.variables = Variables(module, schedule.learn)
        self._optimizer = torch.optim.Adam(self.variables.groups(schedule.rate), betas=_MOMENTS)
        self._best = self.variables.copies()
        self.history: list[Epoch] = []

    @property
    def best(self) -> Epoch:
        """The epoch that the samples held out find best."""
        return min(self.history, key=lambda epoch: epoch.held_out)

    @property
    def steps(self) -> int:
        """The number of steps of an epoch."""
        return math.ceil(len(self._examples) / self._schedule.batch)

    def run(
        self, judge: Callable[[], float], progress: Callable[[int, int], None]
    ) -> Iterator[Epoch]:
        """Train, and yield each epoch; `judge` gives the figure of the variables as they are.

        It ends after the last epoch, when none was better for as many as `patience` says, or when
        the loss or the figure is no number. The variables are the best ones then.
        """
        if not self.history:
            yield self._judged(
                judge, Epoch(number=0, loss=math.nan, held_out=math.inf, rate=0, seconds=0)
            )
        total = self._schedule.epochs * self.steps
        while len(self.history) <= self._schedule.epochs and not self._has_stopped():
            yield self._judged(judge, self._epoch(len(self.history), total, progress))
        self.variables.restore(self._best)

    def _epoch(self, number: int, total: int, progress: Callable[[int, int], None]) -> Epoch:
        start, losses = time.monotonic(), []
        for done, places in enumerate(self._batches(), start=(number - 1) * self.steps):
            losses.append(self._step(places, rate_at(done / total) * min(1, (done + 1) / _WARM)))
            progress(done + 1, total)
        return Epoch(
            number=number,
            loss=float(np.mean(losses)),
            held_out=math.inf,
            rate=self._schedule.rate * rate_at(number * self.steps / total),
            seconds=time.monotonic() - start,
        )

    def _judged(self, judge: Callable[[], float], epoch: Epoch) -> Epoch:
        held_out = judge()
        epoch = replace(epoch, held_out=held_out if math.isfinite(held_out) else math.inf)
        if not self.history or epoch.held_out < self.best.held_out:
            self._best = self.variables.copies()
        self.history.append(epoch)
        return epoch

    @property
    def diverged(self) -> bool:
        """True when the last loss or figure is no finite number."""
        last = self.history[-1]
        figures = (last.held_out, last.loss if last.number else 0.0)
        return not all(map(math.isfinite, figures))

    def _has_stopped(self) -> bool:
        patience, since = self._schedule.patience, self.history[-1].number - self.best.number
        return self.diverged or (patience is not None and since >= patience)

    def _batches(self) -> Iterator[list[int]]:
        order = [int(i) for i in self.rng.permutation(len(self._examples))]
        size = self._schedule.batch
        return (order[i : i + size] for i in range(0, len(order), size))

    def _step(self, places: list[int], factor: float) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        self._optimizer.zero_grad()
        total = 0.0
        for start in range(0, len(places), self._together):
            some = [self._examples[i] for i in places[start : start + self._together]]
            loss = self._run(some, self._loss) * (len(some) / len(places))
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        if math.isfinite(total):  # else the gradients are of no use either
            self._optimizer.step()
        return total

    def _run(self, examples: Sequence[Example], loss: TrainingLoss) -> Tensor:
        inputs = stacked([e.inputs for e in examples])
        with self.variables.in_place():
            outputs = self._module.all_outputs(inputs)
        return loss(outputs, stacked([e.wanted for e in examples]), inputs)

    def mean_loss(self, examples: Sequence[Example], loss: TrainingLoss) -> float:
        """The mean of a loss over samples, without gradients."""
        size = self._together
        with torch.no_grad():
            runs = [examples[i : i + size] for i in range(0, len(examples), size)]
            return sum(float(self._run(some, loss)) * len(some) for some in runs) / len(examples)

    def state(self) -> State:
        """All that the next epoch depends on, but for the history and `rng`."""
        tensors, steps = [*self.variables.by.values(), *self._best.values()], 0
        for by in self.variables.by.values():
            moments = self._optimizer.state.get(by, {})
            steps = max(steps, int(moments.get("step", 0)))
            tensors += [moments.get(k, torch.zeros_like(by)) for k in ("exp_avg", "exp_avg_sq")]
        return State(tensors=[tensor.detach() for tensor in tensors], steps=steps)

    def restore(self, values: Tensor, steps: int) -> None:
        """Take the tensors of a state, one behind the other; ValueError for another size."""
        variables = self.variables.by
        if len(values) != 4 * sum(by.numel() for by in variables.values()):
            raise ValueError("it has another number of values")
        numbers = iter(torch.split(values, [t.numel() for t in self.state().tensors]))
        self.variables.restore({n: next(numbers).view_as(by) for n, by in variables.items()})
        self._best = {n: next(numbers).view_as(by) for n, by in variables.items()}
        for by in variables.values():
            mean, square = (next(numbers).view_as(by).to(by.dtype) for _ in range(2))
            if steps:
                self._optimizer.state[by] = {
                    "step": torch.tensor(float(steps)), "exp_avg": mean, "exp_avg_sq": square
                }  # fmt: skip


def rate_at(share: float) -> float:
    """The factor of the rates after a share of the steps: from 1 down to 0."""
    return (1 + math.cos(math.pi * min(share, 1))) / 2
