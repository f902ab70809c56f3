"""What is found out about the data while it is read, in the order of the samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnxq.diagnostics import Diagnostic, OnnxqError, error, warning
from onnxq.feeds.samples import InputSpec, Sample, shape_text
from onnxq.feeds.selection import Batching

_NAMED: Final = 4  # more damaged files than that are told in one line


@dataclass(slots=True)
class Found:
    """What one batch turned out to be: its samples, why others are missing, whether data ended."""

    samples: list[Sample] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    ended: bool = False


@dataclass(slots=True, kw_only=True)
class Checks:
    """One pass. `ragged` permits shapes that differ; pictures are not `looked_at`."""

    inputs: tuple[InputSpec, ...]
    batch: Batching
    ragged: bool
    looked_at: bool
    read: int = 0
    given: int = 0
    not_full: int = 0
    left_out: list[str] = field(default_factory=list)
    infinite: dict[str, str] = field(default_factory=dict)
    first: Sample | None = None

    def complete(self, found: Found) -> bool:
        """True when the model can be run on the batch. Errors: OQ424 ragged, OQ425 NaN."""
        self.left_out += found.left_out
        self.read += len(found.samples)
        if not found.samples or (self.batch.whole and len(found.samples) < self.batch.size):
            self.not_full += len(found.samples)
            return False
        if self.looked_at:
            for sample in found.samples:
                self._look_at(sample)
        self.given += 1
        return True

    def _look_at(self, sample: Sample) -> None:
        self.first = self.first or sample
        for spec in self.inputs:
            array, first = sample.tensors[spec.name], self.first.tensors[spec.name]
            begin = int(bool(spec.shape) and spec.shape[0] is None)  # batches may differ
            if not self.ragged and array.shape[begin:] != first.shape[begin:]:
                raise error(
                    "OQ424",
                    f"the input '{spec.name}' is {shape_text(first.shape)} in '{self.first.name}' "
                    f"and {shape_text(array.shape)} in '{sample.name}'",
                    fix="pad the samples to one shape, or allow it with --ragged",
                )
            self._require_no_nan(sample, spec.name, array)

    def _require_no_nan(self, sample: Sample, name: str, array: NDArray[Any]) -> None:
        if array.dtype.kind != "f" or np.isfinite(array).all():
            return
        if count := int(np.isnan(array).sum()):
            raise error(
                "OQ425",
                f"the input '{name}' has {count} NaN in '{sample.name}'",
                fix="correct the data or remove the sample",
            )
        self.infinite.setdefault(name, sample.name)

    def told(self) -> list[Diagnostic]:
        """Warnings of the whole pass."""
        return [
            *not_full(self.not_full, self.batch),
            *_left_out(self.left_out),
            *(
                warning(
                    "OQ425",
                    f"the input '{name}' has infinite values, first in '{where}'",
                    fix="correct the data, unless they are meant, as in a mask",
                )
                for name, where in self.infinite.items()
            ),
        ]

    def nothing(self) -> OnnxqError:
        """Say why a pass over all the data gave no sample."""
        if self.not_full:
            return none_full(self.not_full, self.batch)
        if self.left_out:
            return error(
                "OQ401",
                f"none of the {len(self.left_out)} files could be read, the first: "
                f"{self.left_out[0]}",
                fix="give pictures that Pillow opens",
            )
        return error("OQ401", "the data holds no sample", fix="check what --data names")


def not_full(count: int, batch: Batching) -> list[Diagnostic]:
    """Tell of samples that no batch has (OQ426)."""
    if not count:
        return []
    were = "sample was" if count == 1 else "samples were"
    told = f"{count} {were} left out: the model takes {batch.size} at once, and they fill no batch"
    return [warning("OQ426", told, fix="add or remove samples")]


def too_few(count: int, asked: int | None) -> list[Diagnostic]:
    """Tell that the data has fewer samples than asked for (OQ427)."""
    if asked is None or count >= asked:
        return []
    told = f"--samples asks for {asked}, and the data has {count}"
    return [warning("OQ427", told, fix="add samples, or ask for fewer")]


def none_full(count: int, batch: Batching) -> OnnxqError:
    """The error that no batch can be filled (OQ426)."""
    told = f"the model takes {batch.size} samples at once, and the data has {count}"
    return error("OQ426", told, fix="add samples")


def _left_out(reasons: list[str]) -> list[Diagnostic]:
    if len(reasons) <= _NAMED:
        return [warning("OQ402", reason, fix="replace or remove it") for reason in reasons]
    told = f"{len(reasons)} files were left out; the first: {reasons[0]}"
    return [warning("OQ402", told, fix="replace or remove them")]
