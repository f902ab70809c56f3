"""From the outputs of a detector to its detections: decoders by name, or a Python file.

A decoder is `detections(outputs, inputs)`: arrays by name, and for each sample of the batch a tuple
of boxes [n, 4] (left, top, right, bottom in any unit), scores [n] and classes [n].
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxq.diagnostics import OnnxqError, did_you_mean, error
from onnxq.user_code import function_in, guarded
from onnxq.verification.detections.boxes import suppressed

DETECTION_SCORE: Final = 0.25  # the least score of a detection, for built-in decoders
FUNCTION: Final = "detections"

Arrays = Mapping[str, NDArray[Any]]


class SampleDetections(NamedTuple):
    """The detections in one sample: boxes [n, 4], scores [n] and classes [n]."""

    boxes: NDArray[Any]
    scores: NDArray[Any]
    classes: NDArray[Any]


_LARGEST_SCORE: Final = 1.01  # half precision may round beyond 1
_MOST_INVERTED: Final = 0.1  # share of boxes; a model that predicts both corners inverts a few

Decode = Callable[[dict[str, NDArray[Any]], dict[str, NDArray[Any]]], Any]
DecoderLike = str | Path | Decode


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detections:
    """A decoder called `name`. Detections have at least the score `score`.

    Candidates of a built-in decoder that overlap are suppressed; a decoder of the user does that
    itself, and without `score` all that it gives counts. `file` is where it comes from.
    """

    name: str
    decode: Decode
    score: float | None
    is_builtin: bool
    file: Path | None = None

    def __call__(self, outputs: Arrays, inputs: Arrays) -> tuple[SampleDetections, ...]:
        """The detections in each sample of a batch, the best first.

        Raises OQ682 for what a decoder of the user raises or for a result of another form, and
        OQ683 for outputs that a built-in decoder does not know.
        """
        decoded = self._checked(self.decode(dict(outputs), dict(inputs)))
        if self.is_builtin and any(np.any(item.scores > _LARGEST_SCORE) for item in decoded):
            raise unknown_outputs(self.name, outputs, "scores from 0 to 1")
        return tuple(self._kept(item) for item in decoded)

    def _checked(self, result: Any) -> list[SampleDetections]:
        try:
            samples = [SampleDetections(*(np.asarray(part) for part in item)) for item in result]
        except (TypeError, ValueError):
            raise self._unusable(f"a {type(result).__name__}") from None
        for boxes, scores, classes in samples:
            count = len(boxes) if boxes.ndim else -1
            if count == 0:
                continue
            if boxes.shape != (count, 4) or scores.shape != (count,) or classes.shape != (count,):
                shapes = ", ".join(str(list(a.shape)) for a in (boxes, scores, classes))
                raise self._unusable(f"arrays of shapes {shapes}")
            if self.file and np.mean((boxes[:, 2:] < boxes[:, :2]).any(axis=1)) > _MOST_INVERTED:
                raise self._unusable("boxes whose second corner is left of or above the first")
        return samples

    def _unusable(self, what: str) -> OnnxqError:
        return error(
            "OQ682",
            f"the decoder '{self.name}' returned {what}",
            fix="return a list with a tuple for each sample: boxes [n, 4] as x1, y1, x2, y2, "
            "scores [n], classes [n]",
        )

    def _kept(self, candidates: SampleDetections) -> SampleDetections:
        boxes, scores, _ = candidates
        if not len(boxes):
            return SampleDetections(np.zeros((0, 4)), np.zeros(0), np.zeros(0))
        counts = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
        if self.score is not None:
            counts &= scores >= self.score
        kept = SampleDetections(*(part[counts] for part in candidates))
        order = suppressed(*kept) if self.is_builtin else np.argsort(-kept.scores, kind="stable")
        return SampleDetections(*(part[order] for part in kept))


def load_decoder(decoder: DecoderLike, score: float | None = None, classes: int = 0) -> Detections:
    """A built-in decoder by name, one in a Python file, or a function.

    `score` is the least score of a detection, 0.25 for built-in decoders; `classes` the number of
    classes where the model names them. Raises OQ682 for one that does not exist.
    """
    if score is not None and not 0 <= score <= 1:
        raise error(
            "OQ682", f"--detection-score {score:g} is not a score", fix="give one from 0 to 1"
        )
    if callable(decoder):
        name = getattr(decoder, "__name__", type(decoder).__name__)
        return Detections(name=name, decode=decoder, score=score, is_builtin=False)
    text = str(decoder)
    if not text.endswith(".py"):
        builtin = _builtin(text)
        return Detections(
            name=text,
            decode=lambda outputs, inputs: builtin(outputs, inputs, classes),
            score=DETECTION_SCORE if score is None else score,
            is_builtin=True,
        )
    file = Path(text)
    function = function_in(file, FUNCTION, "outputs, inputs", "the decoder", "OQ682")
    decode: Decode = guarded(function, file, "the decoder", "OQ682")
    return Detections(name=text, decode=decode, score=score, is_builtin=False, file=file)


Builtin = Callable[
    [Arrays, Arrays, int], Sequence[SampleDetections]
]  # outputs, inputs, classes or 0
_BUILTIN: Final[dict[str, Builtin]] = {}


def decoder(name: str) -> Callable[[Builtin], Builtin]:
    """Register a decoder; it gives all candidates, before suppression."""

    def register(function: Builtin) -> Builtin:
        _BUILTIN[name] = function
        return function

    return register


def _builtin(name: str) -> Builtin:
    from onnxq.verification.detections import decoders

    for module in pkgutil.iter_modules(decoders.__path__, f"{decoders.__name__}."):
        importlib.import_module(module.name)
    if name not in _BUILTIN:
        raise error(
            "OQ682",
            f"there is no decoder '{name}'",
            fix=did_you_mean(name, (*_BUILTIN, "FILE.py")),
        )
    return _BUILTIN[name]


def unknown_outputs(name: str, outputs: Arrays, wanted: str) -> OnnxqError:
    """OQ683: a built-in decoder knows none of the outputs."""
    shapes = ", ".join(f"'{n}' {list(np.shape(a))}" for n, a in outputs.items())
    return error(
        "OQ683",
        f"--detections {name} needs {wanted}, and the outputs are {shapes}",
        fix="choose another decoder, or write --detections FILE.py with your post-processing",
    )
