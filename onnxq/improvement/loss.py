"""How far the outputs of a Q/DQ model are from those of the float model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import Final

import numpy as np
import onnx

from onnxq.diagnostics import error
from onnxq.feeds.samples import Sample, Tensors
from onnxq.improvement.edits import Array
from onnxq.model.graph import Graph
from onnxq.sessions import Libraries, open_session, run
from onnxq.user_code import function_in, guarded
from onnxq.verification.numeric.outputs import OutputTotals, parts_of, rest_of
from onnxq.verification.numeric.parts import Part

# Arguments: the outputs of the float model on a sample, those of the Q/DQ model. Lower is better.
Loss = Callable[[Tensors, Tensors], float]
LossLike = str | Path | Loss
_FUNCTION: Final = "loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """The parts of an output with the power of their values, and that of the rest."""

    parts: tuple[tuple[Part, float], ...]
    rest: float

    def weights(self, shape: tuple[int, ...]) -> Array:
        """1 / (power * number) of the values of its part for every value: all parts count alike."""
        return np.asarray(np.sum([array for _, array in self.apart(shape)], axis=0))

    def apart(self, shape: tuple[int, ...]) -> list[tuple[str, Array]]:
        """These weights of each part by itself, with its name; those of the rest have ''."""
        parts = [part for part, _ in self.parts]
        masks = [(part.name, _mask(shape, part), power) for part, power in self.parts]
        masks.append(("", rest_of(shape, parts), self.rest))
        return [
            (name, mask * _inverse(power * np.count_nonzero(mask))) for name, mask, power in masks
        ]


def _mask(shape: tuple[int, ...], part: Part) -> Array:
    """Where an output has a part: nowhere if it is smaller than the index."""
    mask = np.zeros(shape, bool)
    with suppress(IndexError):
        mask[part.index] = True
    return mask


def _inverse(value: float) -> float:
    return 1 / value if value > 0 else 0.0


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
        names = [o.name for o in session.get_outputs() if o.type.startswith("tensor")]
        return [
            {
                name: array
                for name, array in run(session, names, _sample(inputs)).items()
                if name in names and array.dtype.kind == "f"
            }
            for inputs in self.samples
        ]

    @cached_property
    def shares(self) -> dict[str, Shares]:
        """How much a value of every float output counts."""
        return {name: self._shares(name) for name in self.references[0]}

    def _shares(self, output: str) -> Shares:
        arrays = [reference[output] for reference in self.references]
        own = [part for part in self.parts if part.output == output]
        parts = own or parts_of(self.graph, output, arrays)
        powers = [_power([_at(array, part) for array in arrays]) for part in parts]
        rest = _power([array[rest_of(array.shape, parts)] for array in arrays])
        return Shares(parts=tuple(zip(parts, powers, strict=True)), rest=rest)

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


def _at(array: Array, part: Part) -> Array:
    """The values of a part; none of an array that is too small."""
    try:
        return np.atleast_1d(array[part.index])
    except IndexError:
        return array.reshape(-1)[:0]


def _power(arrays: Sequence[Array]) -> float:
    """The mean square of the finite values; 0 for none."""
    values = np.concatenate([array.reshape(-1) for array in arrays]).astype(np.float64)
    values = values[np.isfinite(values)]
    return float(np.square(values).mean()) if values.size else 0.0


def load_loss(loss: LossLike) -> Loss:
    """A loss of the user: a function, or the function `loss` of a Python file.

    Raises OQ475, and so does the loss for a result that is no number; of a file also for what it
    raises.
    """
    file = None if callable(loss) else Path(loss)
    own: Loss = (
        loss
        if callable(loss)
        else function_in(Path(loss), _FUNCTION, "float_outputs, outputs", "the loss", "OQ475")
    )

    call = guarded(own, file, "the loss", "OQ475")

    @wraps(own)
    def checked(reference: Tensors, outputs: Tensors) -> float:
        return _number(call(reference, outputs), outputs)

    return checked


def loss_name(loss: LossLike | None) -> str:
    """What tells a loss from others: the name of a function, the name and content of a file."""
    if loss is None:
        return ""
    if callable(loss):
        return getattr(loss, "__qualname__", type(loss).__name__)
    digest = hashlib.sha256(Path(loss).read_bytes()).hexdigest()
    return f"{Path(loss).name} {digest[:8]}"


def _number(result: object, outputs: Tensors) -> float:
    """The result of a loss; inf for NaN of outputs that are not finite."""
    try:
        number = float(result)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number, what = math.nan, f"a {type(result).__name__}"
    else:
        what = "NaN"
        if math.isnan(number) and not all(np.isfinite(a).all() for a in outputs.values()):
            return math.inf
    if math.isnan(number):
        raise error("OQ475", f"the loss gives {what}, not a number", fix="let it return a number")
    return number


def _sample(inputs: Tensors) -> Sample:
    return Sample(name="sample", tensors=inputs, digest="")
