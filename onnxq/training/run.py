"""One run of a training: from models and samples to a trained model and its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor

from onnxq.diagnostics import Diagnostic, error, warning
from onnxq.feeds.samples import Sample, Tensors
from onnxq.files import whole_file
from onnxq.improvement.loss import Judge
from onnxq.model.io import ModelFile
from onnxq.sensitivities.judged import JudgedParts
from onnxq.sensitivities.measuring import noise_rows
from onnxq.sensitivities.sensitivity import decibel
from onnxq.torch.files import written
from onnxq.torch.module import QuantizedModule
from onnxq.training.checkpoint import Checkpoint
from onnxq.training.epochs import Epoch, figure, log_text
from onnxq.training.loop import Example, Schedule, Training
from onnxq.training.losses import PartsLoss, TrainingLoss
from onnxq.training.trained import Measured, Trained
from onnxq.tuning.metrics.metric import Metric

# Arguments: steps done, steps in all, and a sentence about an epoch or ''.
OnStep = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """A training whose options are checked: it can begin.

    `fit` and `held` compare with the teacher on the samples that are trained on, and on those held
    out, which are `held_samples` too. Without `loss` it is that of the parts of the outputs.
    """

    file: ModelFile
    module: QuantizedModule
    fit: Judge
    held: Judge
    held_samples: Sequence[Sample]
    loss: TrainingLoss | None
    metric: Metric | None
    schedule: Schedule
    seed: int
    teacher: str
    log: Path | None
    on_step: OnStep

    @property
    def unit(self) -> str:
        """What the figure of an epoch is."""
        if self.metric is not None:
            name = self.metric.name
            return f"metric {name}" if name in ("dB", "loss") else name
        return "dB" if self.loss is None else "loss"

    def run(self, checkpoint: Checkpoint | None) -> Trained:
        """Train, and measure the model before and after as it is written (OQ714)."""
        parts = JudgedParts.of(self.held)
        examples = [list(_examples(judge)) for judge in (self.fit, self.held)]
        written(self.module, self.file)  # what cannot be written at the end is refused now
        if not len(self.module.quantizers):
            raise error(
                "OQ714",
                f"nothing in '{self.file.name}' can learn: it has no pairs",
                fix="give the Q/DQ model that 'onnxq insert' wrote",
            )
        training = Training(
            self.module,
            self.loss or PartsLoss(self.fit.shares),
            examples[0],
            self.schedule,
            self.seed,
        )
        if checkpoint is not None:
            checkpoint.restore(training)
        before = self._measured(parts, self.file.proto)
        for epoch in training.run(self._judge(training, examples[1]), self._step):
            self._note(training, epoch)
            if checkpoint is not None:
                checkpoint.keep(training)
        training.variables.write()
        proto = written(self.module, self.file)
        return Trained(
            proto=proto,
            model=self.file.name,
            teacher=self.teacher,
            unit=self.unit,
            epochs=tuple(training.history),
            before=before,
            after=self._measured(parts, proto),
            samples=(len(examples[0]), len(examples[1])),
            learned=len(training.variables.by),
            log=self.log,
            diagnostics=tuple(_diagnostics(training)),
        )

    def _judge(self, training: Training, held: Sequence[Example]) -> Callable[[], float]:
        loss = self.loss or PartsLoss(self.held.shares)

        def judge() -> float:
            if self.metric is None:
                return training.mean_loss(held, loss)
            training.variables.write()
            return -self._score(written(self.module, self.file))

        return judge

    def _score(self, model: ModelProto) -> float:
        assert self.metric is not None
        return self.metric.score(model, self.held_samples, self.held.libraries)

    def _measured(self, parts: JudgedParts, model: ModelProto) -> Measured:
        noise = noise_rows(self.held, parts, model).mean(axis=0)
        return Measured(
            sqnr_db={n: decibel(float(x)) for n, x in zip(parts.names, noise, strict=True)},
            score=None if self.metric is None else self._score(model),
        )

    def _step(self, done: int, total: int) -> None:
        self.on_step(done, total, "")

    def _note(self, training: Training, epoch: Epoch) -> None:
        if self.log is not None:
            with whole_file(self.log) as part:
                part.write_text(log_text(training.history, self.unit), encoding="utf-8")
        best = ", the best so far" if training.best is epoch else ""
        said = f"{figure(epoch.held_out, self.unit):.4g} {self.unit} held out{best}"
        done, total = epoch.number * training.steps, self.schedule.epochs * training.steps
        self.on_step(done, total, f"epoch {epoch.number} of {self.schedule.epochs}: {said}")


def _examples(judge: Judge) -> Iterator[Example]:
    for inputs, wanted in zip(judge.samples, judge.references, strict=True):
        yield Example(inputs=_tensors(inputs), wanted=_tensors(wanted))


def _tensors(arrays: Tensors) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def _diagnostics(training: Training) -> Iterator[Diagnostic]:
    if training.diverged:
        yield warning(
            "OQ715",
            f"the loss of epoch {training.history[-1].number} is no finite number: training ended "
            f"there, and the model has the numbers of epoch {training.best.number}",
            fix="train with a lower --rate",
        )
    elif training.best.number == 0:
        yield warning(
            "OQ713",
            "no epoch was better on the samples held out: the model is as it was",
            fix="give more samples, or train longer, with another --rate",
        )
