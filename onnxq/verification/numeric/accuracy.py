"""Top-1 and top-5 of classifiers, float model and Q/DQ model side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnxq.diagnostics import Diagnostic, OnnxqError, error, warning
from onnxq.feeds.samples import Sample
from onnxq.verification.labels import Labels, class_index

_TOP: Final = 5
_ENOUGH: Final = 8  # samples with a label: of fewer a good model may have none right


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How often the class is right, as shares from 0 to 1 of the samples with a label.

    `output` is the output with the scores, `labelled` and `unlabelled` count samples. Top-5 is None
    with five classes or fewer. `agreement` is the share of samples with the same first class in
    both models. `changed` counts the other samples; of these `lost` are right only in the float
    model, and `gained` only in the Q/DQ model.
    A sample with NaN scores has no class.
    """

    output: str
    labelled: int
    unlabelled: int
    float_top1: float
    float_top5: float | None
    top1: float
    top5: float | None
    agreement: float
    changed: int
    lost: int
    gained: int


class AccuracyTotals:
    """Counts over the samples of one Q/DQ model."""

    def __init__(self, labels: Labels, names: dict[str, int]) -> None:
        self._labels, self._names = labels, names
        self._output, self._classes = "", 0
        self._places: list[
            tuple[int, int, bool]
        ] = []  # rank of the right class in both models; same first class?
        self._unlabelled = 0
        self._without = ""  # the first sample without a label

    def add(self, sample: Sample, expected: dict[str, Any], computed: dict[str, Any]) -> None:
        """Count one sample by its scores. OQ653 when no output has scores."""
        self._output = self._output or _scores(expected)
        reference, test = (_row(outputs[self._output]) for outputs in (expected, computed))
        self._classes = reference.size
        label = self._labels.of(sample.name)
        if label is None:
            self._unlabelled += 1
            self._without = self._without or sample.name
            return
        index = class_index(label, reference.size, self._names, self._labels.file)
        same = _first(reference) == _first(test)
        self._places.append((_place(reference, index), _place(test, index), same))

    def result(self) -> Accuracy:
        """The shares; OQ651 when no sample has a label."""
        if not self._places:
            raise error(
                "OQ651",
                f"'{self._labels.file}' names none of the samples: the first is '{self._without}'",
                fix="give rows with the names of these samples and their classes, such as "
                f"{self._without},207",
            )
        before, after, same = (np.array(column) for column in zip(*self._places, strict=True))
        ranked = self._classes > _TOP
        return Accuracy(
            output=self._output,
            labelled=len(self._places),
            unlabelled=self._unlabelled,
            float_top1=float((before < 1).mean()),
            float_top5=float((before < _TOP).mean()) if ranked else None,
            top1=float((after < 1).mean()),
            top5=float((after < _TOP).mean()) if ranked else None,
            agreement=float(same.mean()),
            changed=int((~same).sum()),
            lost=int(((before < 1) & (after >= 1)).sum()),
            gained=int(((before >= 1) & (after < 1)).sum()),
        )

    def doubts(self) -> Iterator[Diagnostic]:
        """Warn of labels by which the float model is no better than chance (OQ655)."""
        count = len(self._places)
        right = sum(place < 1 for place, *_ in self._places)
        if count >= _ENOUGH and right * self._classes <= count:
            yield warning(
                "OQ655",
                f"by '{self._labels.file}' the float model is right on {right} of {count} samples, "
                f"no more than by chance among {self._classes:,} classes",
                fix="check that indices begin with 0 and are in the order of the model's classes, "
                "that the rows are those of these samples, and the preprocessing",
            )


def _scores(outputs: dict[str, Any]) -> str:
    for name, value in outputs.items():
        kind = getattr(getattr(value, "dtype", None), "kind", "")
        if kind == "f" and value.ndim == 2 and value.shape[1] > 1:
            return name
    raise error(
        "OQ653",
        "--labels is for classifiers, and no output has the shape [1, classes]",
        fix="leave --labels out",
    )


def _row(scores: NDArray[Any]) -> NDArray[Any]:
    if scores.shape[0] != 1:
        raise _batched(scores.shape[0])
    row: NDArray[Any] = scores[0]
    return row


def _batched(size: int) -> OnnxqError:
    return error(
        "OQ653",
        f"--labels needs the samples one by one, and one run of the model took {size}",
        fix="leave --batch out, and give a model of batch 1",
    )


def _first(row: NDArray[Any]) -> int:
    return -1 if np.isnan(row).any() else int(row.argmax())


def _place(row: NDArray[Any], index: int) -> int:
    """The number of classes with a higher score; of equal scores the lower index is first.

    With a NaN score it is the number of all classes.
    """
    if np.isnan(row).any():
        return row.size
    ahead = row > row[index]
    ahead[:index] |= row[:index] == row[index]
    return int(ahead.sum())
