"""Choice of samples from the data, and batches of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from onnxq.diagnostics import error
from onnxq.feeds.samples import InputSpec


def pick(length: int | None, samples: int | None, seed: int | None) -> Sequence[int] | None:
    """Numbers of the samples to use, ascending; None for all of data whose length is not known.

    Without a seed they are spread evenly, so that a folder sorted by class gives some of each
    class; with a seed they are drawn without replacement, the same on every platform. Of data whose
    length is not known they are the first.
    """
    if length is None:
        return None if samples is None else range(samples)
    if samples is None or samples >= length:
        return range(length)
    if seed is None:
        return [number * length // samples for number in range(samples)]
    draw = random.Random(seed).random  # of all of `random`, this alone is the same in every Python
    keys = [draw() for _ in range(length)]
    return sorted(sorted(range(length), key=keys.__getitem__)[:samples])


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """The number of samples in a batch; `whole` when the model takes no smaller batch."""

    size: int = 1
    whole: bool = False


def batching(
    inputs: tuple[InputSpec, ...], asked: int | None
) -> tuple[tuple[InputSpec, ...], Batching]:
    """Return the inputs for one sample, and how many samples make a batch (OQ420).

    Without `asked` a sample is what the model takes in one run.
    """
    if asked is None:
        return inputs, Batching()
    for spec in inputs:
        if not spec.shape or spec.shape[0] not in (None, asked):
            raise error(
                "OQ420",
                f"a batch of {asked} does not fit the model's input {spec.name}: {spec.size}",
                fix="leave out --batch, or export the model with a dynamic batch",
            )
    whole = any(spec.shape[0] is not None for spec in inputs)
    singles = tuple(replace(spec, shape=(1, *spec.shape[1:])) for spec in inputs)
    return singles, Batching(size=asked, whole=whole)
