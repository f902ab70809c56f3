"""The figures of one output, and of the groups of channels in it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnxq.model.graph import Graph
from onnxq.verification.numeric.comparison import Comparison, Totals
from onnxq.verification.numeric.groups import groups
from onnxq.verification.numeric.parts import Part

_FIRST_SAMPLES: Final = 8  # that groups of channels are looked for in
_FIRST_BYTES: Final = 1 << 26  # and that are held in memory until then


def parts_of(graph: Graph, output: str, arrays: Sequence[NDArray[Any]]) -> list[Part]:
    """The groups of channels of an output by its values, an array a sample; none for one group."""
    groups_of = groups(graph, output, arrays[:_FIRST_SAMPLES])
    if groups_of is None:
        return []
    axis, borders = groups_of
    edges = zip(("", *borders), (*borders, ""), strict=True)
    places = [f"[{':,' * axis}{begin}:{end}]" for begin, end in edges]
    return [Part(name=f"{output}{place}", output=output, where=place) for place in places]


def rest_of(shape: tuple[int, ...], parts: Sequence[Part]) -> NDArray[np.bool]:
    """A mask of the values that no part has."""
    rest = np.ones(shape, bool)
    for part in parts:
        with suppress(IndexError):  # this sample is smaller than the index
            rest[part.index] = False
    return rest


class OutputTotals:
    """Sums over the samples of one output of the models, and of its parts.

    Without parts of the user, those of the first samples' values stand for all.
    """

    def __init__(self, name: str, parts: Sequence[Part], graph: Graph) -> None:
        self._name, self._graph = name, graph
        self._whole = Totals(name)
        self._parts = [(part, Totals(part.name, is_part=True)) for part in parts]
        if self._parts:
            rest = Part(name=f"rest of {name}", output=name, where="")
            self._parts.append((rest, Totals(rest.name, is_part=True)))
        self._first: list[tuple[str, NDArray[Any], NDArray[Any]]] = []
        self._is_open = not self._parts

    def add(self, sample: str, reference: Any, test: Any) -> None:
        """Compare one sample."""
        if not self._whole.add(sample, reference, test):
            return
        if not self._is_open:
            self._add_parts(sample, reference, test)
        elif reference.dtype.kind == "f":
            self._first.append((sample, reference, test))
            held = sum(a.nbytes + b.nbytes for _, a, b in self._first)
            if len(self._first) >= _FIRST_SAMPLES or held >= _FIRST_BYTES:
                self._close()

    def result(self) -> Comparison:
        """The figures of all samples so far, with those of the parts."""
        self._close()
        parts = [
            replace(totals.result(), where=part.where)
            for part, totals in self._parts
            if totals.dtype
        ]
        whole = self._whole.result()
        return replace(whole, parts=tuple(p for p in parts if p.values or p.where))

    def _close(self) -> None:
        """Look for parts in the samples so far, once."""
        if not self._is_open or not self._first:
            return
        self._is_open = False
        parts = parts_of(self._graph, self._name, [a for _, a, _ in self._first])
        self._parts = [(part, Totals(part.name, is_part=True)) for part in parts]
        for sample, reference, test in self._first:
            self._add_parts(sample, reference, test)
        self._first = []

    def _add_parts(self, sample: str, reference: NDArray[Any], test: NDArray[Any]) -> None:
        for part, totals in self._parts:
            try:
                some = part.index if part.where else rest_of(reference.shape, self._named)
                values = [np.atleast_1d(a[some]) for a in (reference, test)]
            except IndexError:  # this sample is smaller than the index
                totals.leave_out(sample, "it has no such values")
                continue
            if part.where or values[0].size:
                totals.add(sample, *values)

    @property
    def _named(self) -> list[Part]:
        """The parts but the rest."""
        return [part for part, _ in self._parts[:-1]]
