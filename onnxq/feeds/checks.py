"""Findings on the data while it is read; those of several parts add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from onnxq.diagnostics import Diagnostic, OnnxqError, counted, error, warning
from onnxq.feeds.samples import InputSpec, Sample, shape_text
from onnxq.feeds.selection import Batching

_NAMED: Final = 4  # damaged files; more are reported in one line


@dataclass(frozen=True, slots=True, kw_only=True)
class Infinite:
    """Infinite values of an input: how many, and the first sample that has one, by `number`."""

    count: int
    number: int
    where: str

    def __add__(self, other: Infinite) -> Infinite:
        first = min(self, other, key=lambda infinite: infinite.number)
        return replace(first, count=self.count + other.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Findings of a pass; those on different samples add, in any order.

    `read` samples were read, and given in `given` batches. By a sample's number in the source:
    `left_out` says why it could not be read, `unused` are in no batch, `animated` has the names of
    animations. `ended` means that the data has fewer samples than asked for.
    """

    read: int = 0
    given: int = 0
    left_out: Mapping[int, str] = field(default_factory=dict)
    unused: tuple[int, ...] = ()
    infinite: Mapping[str, Infinite] = field(default_factory=dict)
    ended: bool = False
    animated: Mapping[int, str] = field(default_factory=dict)

    def __add__(self, other: Findings) -> Findings:
        infinite = dict(self.infinite)
        for name, more in other.infinite.items():
            infinite[name] = infinite[name] + more if name in infinite else more
        return Findings(
            read=self.read + other.read,
            given=self.given + other.given,
            left_out={**self.left_out, **other.left_out} if other.left_out else self.left_out,
            unused=(*self.unused, *other.unused) if other.unused else self.unused,
            infinite=infinite,
            ended=self.ended or other.ended,
            animated={**self.animated, **other.animated} if other.animated else self.animated,
        )

    def report(self, batch: Batching, asked: int | None) -> list[Diagnostic]:
        """The warnings on a whole pass for which `asked` samples were asked."""
        return [
            *(too_few(self.read, asked) if self.ended else ()),
            *not_full(len(self.unused), batch),
            *_left_out(self._reasons()),
            *_animated([name for _, name in sorted(self.animated.items())]),
            *(
                warning(
                    "OQ425",
                    f"the input '{name}' has {counted(values.count, 'infinite value')}, first in "
                    f"'{values.where}'",
                    fix="correct the data, unless they are intended, as in a mask",
                )
                for name, values in sorted(self.infinite.items())
            ),
        ]

    def nothing(self, batch: Batching) -> OnnxqError:
        """The error that says why a pass over all the data gave no sample."""
        if self.unused:
            return none_full(len(self.unused), batch)
        if self.left_out:
            return error(
                "OQ401",
                f"none of the {len(self.left_out)} files could be read; the first: "
                f"{self._reasons()[0]}",
                fix="give pictures that Pillow opens",
            )
        return error(
            "OQ401", "the data holds no sample", fix="check its path, or the code that makes it"
        )

    def _reasons(self) -> list[str]:
        return [reason for _, reason in sorted(self.left_out.items())]


class Alike:
    """Requires the shapes of the first sample, except for the size of a dynamic batch."""

    def __init__(self, inputs: Iterable[InputSpec]) -> None:
        self._begin = {i.name: int(bool(i.shape) and i.shape[0] is None) for i in inputs}
        self._first: tuple[str, Mapping[str, tuple[int, ...]]] | None = None

    def require(self, where: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Compare the shapes of one sample's inputs with those of the first (OQ424)."""
        self._first = self._first or (where, shapes)
        first_name, first = self._first
        for name, begin in self._begin.items():
            if shapes[name][begin:] != first[name][begin:]:
                raise error(
                    "OQ424",
                    f"the input '{name}' is {shape_text(first[name])} in '{first_name}' and "
                    f"{shape_text(shapes[name])} in '{where}'",
                    fix="pad the samples to one shape, or permit several with --ragged",
                )


def infinite(sample: Sample, number: int) -> dict[str, Infinite]:
    """Return the infinite values of each input that has some; NaN raises OQ425."""
    by_input = {}
    for name, array in sample.tensors.items():
        if array.dtype.kind != "f" or np.isfinite(array).all():
            continue
        if count := int(np.isnan(array).sum()):
            raise error(
                "OQ425",
                f"the input '{name}' has {count} NaN in '{sample.name}'",
                fix="correct the data or remove the sample",
            )
        count = int(np.isinf(array).sum())
        by_input[name] = Infinite(count=count, number=number, where=sample.name)
    return by_input


def not_full(count: int, batch: Batching) -> list[Diagnostic]:
    """Report samples that are in no batch (OQ426)."""
    if not count:
        return []
    were = "sample was" if count == 1 else "samples were"
    message = (
        f"{count} {were} left out: the model takes batches of {batch.size}, and they fill none"
    )
    return [warning("OQ426", message, fix="add or remove samples")]


def too_few(count: int, asked: int | None) -> list[Diagnostic]:
    """Report data with fewer samples than asked for (OQ427)."""
    if asked is None or count >= asked:
        return []
    message = f"{counted(asked, 'sample')} were asked for, and the data has {count:,}"
    return [warning("OQ427", message, fix="add samples, or ask for fewer with --samples")]


def none_full(count: int, batch: Batching) -> OnnxqError:
    """The error that no batch can be filled (OQ426)."""
    message = f"the model takes batches of {batch.size} samples, and the data has {count}"
    return error("OQ426", message, fix="add samples")


def _left_out(reasons: list[str]) -> list[Diagnostic]:
    if len(reasons) <= _NAMED:
        return [warning("OQ402", reason, fix="replace or remove it") for reason in reasons]
    message = f"{len(reasons)} files were left out; the first: {reasons[0]}"
    return [warning("OQ402", message, fix="replace or remove them")]


def _animated(names: list[str]) -> list[Diagnostic]:
    if not names:
        return []
    others = f" and of {counted(len(names) - 1, 'other')}" if len(names) > 1 else ""
    message = f"only the first frame of '{names[0]}'{others} is used"
    return [warning("OQ438", message, fix="save the frames as pictures, to use them all")]
