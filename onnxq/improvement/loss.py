"""How far the outputs of a Q/DQ model are from those of the float model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import onnx

from onnxq.feeds.loaders import function_in
from onnxq.feeds.samples import Sample, Tensors
from onnxq.model.graph import Graph
from onnxq.sessions import Libraries, open_session, run
from onnxq.verification.numeric.outputs import OutputTotals
from onnxq.verification.numeric.parts import Part

# Arguments: the outputs of the float model on a sample, those of the Q/DQ model. Lower is better.
Loss = Callable[[Tensors, Tensors], float]
LossLike = str | Path | Loss
_FUNCTION: Final = "loss"


@dataclass(frozen=True, kw_only=True, eq=False)
class Judge:
    """Compares Q/DQ models with the float model on the same samples.

    The loss is the mean over all parts of all float outputs of noise power / signal power, so that
    scores from 0 to 1 count as much as the boxes beside them. `parts` are those of the user,
    `own` is a loss of the user, whose mean over the samples takes the place of that.
    """

    model: onnx.ModelProto
    graph: Graph
    samples: Sequence[Tensors]
    parts: Sequence[Part] = ()
    own: Loss | None = None
    libraries: Libraries = ()

    @cached_property
    def references(self) -> list[Tensors]:
        """The float outputs of the float model on every sample."""
        session = open_session(self.model, as_written=True, libraries=self.libraries)
        names = [o.name for o in session.get_outputs()]
        return [
            {
                name: array
                for name, array in run(session, names, _sample(inputs)).items()
                if name in names and array.dtype.kind == "f"
            }
            for inputs in self.samples
        ]

    def loss(self, model: onnx.ModelProto) -> float:
        """The loss of a Q/DQ model; inf when it gives NaN or infinite values of its own."""
        session = open_session(model, called="the Q/DQ model", libraries=self.libraries)
        names = list(self.references[0])
        totals = {
            name: OutputTotals(name, [p for p in self.parts if p.output == name], self.graph)
            for name in names
        }
        own = 0.0
        for inputs, reference in zip(self.samples, self.references, strict=True):
            outputs = run(session, names, _sample(inputs))
            if self.own is not None:
                own += self.own(reference, {name: outputs[name] for name in names})
                continue
            for name in names:
                totals[name].add("sample", reference[name], outputs[name])
        if self.own is not None:
            return own / len(self.samples)
        judged = [c.sqnr_db for t in totals.values() for c in t.result().judged]
        if any(db is None for db in judged):
            return math.inf
        return float(np.mean([10 ** (-db / 10) for db in judged if db is not None]))


def load_loss(loss: LossLike) -> Loss:
    """A loss of the user: a function, or the function `loss` of a Python file (OQ475)."""
    if callable(loss):
        return loss
    own: Loss = function_in(Path(loss), _FUNCTION, "float_outputs, outputs", "the loss", "OQ475")
    return own


def _sample(inputs: Tensors) -> Sample:
    return Sample(name="sample", tensors=inputs, digest="")
