"""Groups of channels that an output holds side by side although their power differs much.

A detector's boxes from 0 to 320 stand in one tensor with scores from 0 to 1. Their SQNR together
is that of the boxes: all scores may be lost, and the output still has 60 dB. Such channels are
compared apart. Where a Concat of the graph joins scores (a result from 0 to 1) and others, a
tenth of the power is enough, and a hundredth where it joins tensors of another kind: the loss of
the quieter ones then leaves 20 dB. Other channels are separated by their power alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnxq.model.graph import Graph
from onnxq.model.makers import Makers, makers

SCORES: Final = 10.0  # times the power of scores that a Concat joins to others
JOINED: Final = 100.0  # of other tensors that a Concat joins
JUMP: Final = 1000.0  # of channels that no Concat separates
MOST: Final = 6  # more groups than that are the spread of one kind
_CHANNELS: Final = 4096

Powers = NDArray[np.float64]  # [samples, channels]
Groups = tuple[int, tuple[int, ...]]  # axis, and the first channel of each group but the first


def groups(graph: Graph, output: str, arrays: Sequence[NDArray[Any]]) -> Groups | None:
    """The groups of an output by its values, an array for each sample; None for a single group.

    Of several axes the one with the greatest difference counts. The first axis is the batch, and
    an axis whose size varies holds positions.
    """
    shapes = {a.shape for a in arrays}
    if len({len(s) for s in shapes}) != 1:
        return None
    declared = graph.type(output).shape
    best: tuple[float, Groups] | None = None
    for axis in range(1, len(arrays[0].shape)):
        sizes = {s[axis] for s in shapes}
        named = declared is not None and len(declared) > axis and isinstance(declared[axis], str)
        if len(sizes) != 1 or named or not 2 <= min(sizes) <= _CHANNELS:
            continue
        powers = np.stack([_power(a, axis) for a in arrays])
        made = makers(graph, output, axis, powers.shape[1])
        fewest = powers.shape[1] == min(arrays[0].shape[1:])
        strength, borders = _along(powers, made, JOINED if not fewest else SCORES)
        if borders and (best is None or strength > best[0]):
            best = strength, (axis, borders)
    return None if best is None else best[1]


def _power(array: NDArray[Any], axis: int) -> NDArray[np.float64]:
    """The mean square of each channel; 0 where there are no values."""
    if not array.size:
        return np.zeros(array.shape[axis])
    values = np.where(np.isfinite(array), array, 0).astype(np.float64)
    others = tuple(i for i in range(array.ndim) if i != axis)
    power: NDArray[np.float64] = np.square(values).mean(axis=others)
    return power


def _along(powers: Powers, made: Makers, of_scores: float) -> tuple[float, tuple[int, ...]]:
    """The greatest ratio of two neighbours, and the borders; () where there is one group."""
    channels = range(1, len(made))
    joined = {i for i in channels if made[i] != made[i - 1]}
    scores = {i for i in joined if made[i].bounded or made[i - 1].bounded}
    same_scores = {i for i in channels if made[i] == made[i - 1] and made[i].bounded}
    borders = sorted(joined | (set(_jumps(powers)) - same_scores))
    while borders:
        ratios = _ratios(powers, borders)
        least = [of_scores if border in scores else JOINED for border in borders]
        worst = min(range(len(borders)), key=lambda i: ratios[i] / least[i])
        if ratios[worst] >= least[worst]:
            return (max(ratios), tuple(borders)) if len(borders) < MOST else (0.0, ())
        del borders[worst]
    return 0.0, ()


def _ratios(powers: Powers, borders: Sequence[int]) -> list[float]:
    """At each border, how many times the one side has the power of the other, in sum and in mean.

    1 where a side has none, or where another side is the louder in one of the samples.
    """
    edges = (0, *borders, powers.shape[1])
    sums = np.stack([powers[:, a:b].sum(axis=1) for a, b in pairwise(edges)])  # [groups, samples]
    widths = np.diff(edges)
    ratios = []
    for place, (first, second) in enumerate(pairwise(sums)):
        if not (first.sum() > 0 and second.sum() > 0):
            ratios.append(1.0)
            continue
        total = first.sum() / second.sum()
        mean = total * widths[place + 1] / widths[place]
        louder = np.all(first >= second) and min(total, mean)
        quieter = np.all(first <= second) and min(1 / total, 1 / mean)
        ratios.append(max(1.0, float(louder), float(quieter)))
    return ratios


def _jumps(powers: Powers, start: int = 0, most: int = 2) -> Iterator[int]:
    """Borders where the power alone separates kinds of channels.

    The channels of one kind stand side by side, and those of the other are quieter in every sample.
    One loud channel among quiet ones is an outlier, as hidden states have them, and a quiet one
    among the channels of a quiet kind is a class that the samples do not show.
    """
    mean = powers.mean(axis=0)
    quiet = mean < mean.max() / JUMP
    borders = [int(i) + 1 for i in np.flatnonzero(quiet[1:] != quiet[:-1])]
    if not 1 <= len(borders) <= most:
        return
    if len(borders) == 2 and quiet[0] and borders[1] - borders[0] == 1:
        return
    if powers[:, ~quiet].min() <= powers[:, quiet].max():
        return
    yield from (start + b for b in borders)
    for first, last in pairwise((0, *borders, len(quiet))):
        if quiet[first]:
            yield from _jumps(powers[:, first:last], start + first, most=1)
