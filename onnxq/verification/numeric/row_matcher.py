"""Outputs whose rows one node sorts: matched sample by sample, and counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnxq.model.influence import RowOrder
from onnxq.verification.numeric.comparison import Comparison
from onnxq.verification.numeric.rows import SortedRows, distances, nearest

ENOUGH: Final = 0.5  # share of rows with a counterpart; chance alone may match fewer
_LARGEST: Final = 1 << 24  # distances held in memory

Arrays = Mapping[str, NDArray[Any]]


class RowMatcher:
    """Matches the rows of all outputs that one node sorts, and counts them over the samples."""

    def __init__(self, orders: Mapping[str, RowOrder]) -> None:
        self._axes = {name: order.axis for name, order in orders.items()}
        self._order = next(iter(orders.values()))
        self._rows = self._kept = self._moved = self._new = 0

    @property
    def outputs(self) -> tuple[str, ...]:
        """The outputs whose rows it matches."""
        return tuple(self._axes)

    def matched(self, reference: Arrays, test: Arrays) -> list[tuple[Arrays, Arrays]]:
        """The rows of both models that have a counterpart, in one order, by item of the batch.

        The arrays themselves where the two models' cannot be matched.
        """
        if not _alike(reference, test, self._axes):
            return [(reference, test)]
        items = zip(_items(reference, self._axes), _items(test, self._axes), strict=True)
        return [self._match(first, second) for first, second in items]

    def _match(self, first: Arrays, second: Arrays) -> tuple[Arrays, Arrays]:
        pairs = _counterparts(first, second, self._axes)
        rows, others = (_count(arrays, self._axes) for arrays in (first, second))
        self._rows += rows
        self._kept += pairs.shape[1]
        self._new += others - pairs.shape[1]
        self._moved += int(np.count_nonzero(pairs[0] != pairs[1]))
        chosen = (
            {name: a.take(places, self._axes[name]) for name, a in arrays.items()}
            for arrays, places in zip((first, second), pairs, strict=True)
        )
        return (next(chosen), next(chosen))

    def judge(self, output: Comparison) -> Comparison:
        """The output with the counts; without figures where too few rows have a counterpart."""
        rows = SortedRows(
            node=self._order.node,
            op=self._order.op,
            rows=self._rows,
            kept=self._kept,
            moved=self._moved,
            new=self._new,
        )
        output = replace(output, rows=rows if rows.rows or rows.new else None)
        share = rows.kept_share
        if share is None or share >= ENOUGH:
            return output
        return output.without_figures(
            f"{rows.op} '{rows.node}' sorts its rows, and only {share:.1%} of them have a "
            "counterpart in the Q/DQ model"
        )


def aligned(orders: Mapping[str, RowOrder], reference: Arrays, test: Arrays) -> Arrays:
    """The outputs `test` with each row in the place of its counterpart; 0 where there is none.

    One node sorts all of them. The arrays themselves where the two models' cannot be matched.
    """
    axes = {name: order.axis for name, order in orders.items()}
    if not _alike(reference, test, axes):
        return test
    result = {name: np.zeros_like(array) for name, array in reference.items()}
    three = (_items(arrays, axes) for arrays in (result, reference, test))
    for item, first, second in zip(*three, strict=True):
        to, of = _counterparts(first, second, axes)
        for name, array in item.items():
            into, rows = (np.moveaxis(a, axes[name], 0) for a in (array, second[name]))
            into[to] = rows[of]
    return result


def _counterparts(first: Arrays, second: Arrays, axes: Mapping[str, int]) -> NDArray[np.intp]:
    """The rows of one item of the batch that belong together, [2, pairs]."""
    rows = [[_rows(a, axes[n]) for n, a in arrays.items()] for arrays in (first, second)]
    return nearest(distances(*rows))


def _count(arrays: Arrays, axes: Mapping[str, int]) -> int:
    """The rows of one item of the batch."""
    return int(next(array.shape[axes[name]] for name, array in arrays.items()))


def _alike(reference: Arrays, test: Arrays, axes: Mapping[str, int]) -> bool:
    """True where all outputs have as many items and rows; the models may have unequal numbers."""
    counts = []
    for arrays in (reference, test):
        sizes = {(a.shape[0] if axes[n] else 1, a.shape[axes[n]]) for n, a in arrays.items()}
        if len(sizes) != 1:
            return False
        counts.append(next(iter(sizes)))
    (items, rows), (others, other_rows) = counts
    same = all(
        np.delete(a.shape, axes[n]).tolist() == np.delete(test[n].shape, axes[n]).tolist()
        for n, a in reference.items()
    )
    return same and items == others and rows * other_rows <= _LARGEST


def _items(arrays: Arrays, axes: Mapping[str, int]) -> Iterator[Arrays]:
    """The outputs of each item of the batch, which is the first axis unless the rows are."""
    count = max(a.shape[0] if axes[name] else 1 for name, a in arrays.items())
    for item in range(count):
        yield {n: a[item : item + 1] if axes[n] else a for n, a in arrays.items()}


def _rows(array: NDArray[Any], axis: int) -> NDArray[np.float64]:
    """The rows of one item of the batch, [rows, columns]."""
    turned = np.moveaxis(array, axis, 0)
    columns = turned.size // max(1, len(turned))
    rows = turned.reshape(len(turned), columns).astype(np.float64)
    return np.nan_to_num(rows, copy=False, posinf=0, neginf=0)
