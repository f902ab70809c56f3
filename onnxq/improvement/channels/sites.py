"""Quantized activations whose channels may be divided by factors that their readers take back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from onnxq.feeds.samples import Tensors
from onnxq.improvement.capture import captured
from onnxq.improvement.channels.readers import Reader, reader
from onnxq.improvement.edits import divided
from onnxq.improvement.improver import OnStep
from onnxq.improvement.subject import Subject
from onnxq.model.graph import Graph
from onnxq.planning.plan import Pair
from onnxq.sessions import Libraries

Rows = NDArray[np.float32]
_VALUES: Final = 2**18  # that are kept of a tensor in each half


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An INT8 activation, and the products with weights of their own that read it by its pair."""

    pair: Pair
    readers: tuple[Reader, ...]

    @property
    def axis(self) -> int:
        """The channel axis."""
        return self.readers[0].axis

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that read it."""
        return tuple(reader.node for reader in self.readers)


def sites(subject: Subject, targets: AbstractSet[str]) -> Iterator[Site]:
    """The sites all of whose readers are targets, in the order of the plan."""
    for pair in _pairs(subject):
        site = _site(subject.graph, pair)
        if site and len(site.readers) == len(pair.edges) and targets >= set(site.nodes):
            yield site


def shared_sites(subject: Subject) -> Iterator[Site]:
    """Activations that other ops read too through their pair; `readers` are the products alone."""
    for pair in _pairs(subject):
        site = _site(subject.graph, pair)
        if site and len(site.readers) < len(pair.edges):
            yield site


def _pairs(subject: Subject) -> Iterator[Pair]:
    """The INT8 pairs on activations that have no other pair, and whose scale data decide.

    A pair that stands behind a divisor already is none of them: it takes one.
    """
    behind = {divided(pair.tensor) for pair in subject.edits.divisors}
    pairs = [pair for pair in subject.scales.by_pair if pair.kind == "activation"]
    on_tensor = Counter(pair.tensor for pair in pairs)
    for pair in pairs:
        is_free = pair.tensor not in behind and pair.existing is None
        is_alone = on_tensor[pair.tensor] == 1 and is_free
        if is_alone and pair.descriptor.dtype == "int8" and pair.descriptor.amax is None:
            yield pair


def _site(graph: Graph, pair: Pair) -> Site | None:
    by_edge = (reader(graph, edge) for edge in pair.edges)
    readers = tuple(r for r in by_edge if r is not None)
    return Site(pair=pair, readers=readers) if readers and _agree(graph, readers) else None


def _agree(graph: Graph, readers: Sequence[Reader]) -> bool:
    """True when all see the same channels, more than one of them."""
    if len({reader.axis for reader in readers}) != 1:
        return False
    counts = {r.channels(graph.array(r.weight)) for r in readers}
    return len(counts) == 1 and counts.pop() > 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Half:
    """Values of a site over half of the samples.

    `rows` are some of its values, places x channels; `largest` are the largest magnitudes of every
    channel in each sample, samples x channels.
    """

    rows: Rows
    largest: Rows

    @property
    def amax(self) -> Rows:
        """The largest magnitude of every channel."""
        return np.asarray(self.largest.max(axis=0))


def halves(
    subject: Subject,
    sites: Sequence[Site],
    samples: Sequence[Tensors],
    progress: OnStep,
    libraries: Libraries = (),
) -> dict[str, tuple[Half, Half]]:
    """What the even and the odd samples give at every site, by tensor.

    Sites with values that are not finite, and those without any, are left out.
    """
    rows: dict[str, tuple[list[Rows], list[Rows]]] = {s.pair.tensor: ([], []) for s in sites}
    largest: dict[str, tuple[list[Rows], list[Rows]]] = {s.pair.tensor: ([], []) for s in sites}
    share = _VALUES // max(1, (len(samples) + 1) // 2)
    rng = np.random.default_rng(0)
    runs = captured(subject.model, rows, samples, libraries=libraries)
    for number, values in enumerate(runs):
        for site in sites:
            array = _by_channel(np.asarray(values[site.pair.tensor], np.float32), site.axis)
            if array.size:
                count = min(len(array), max(1, share // array.shape[1]))
                rows[site.pair.tensor][number % 2].append(
                    array[rng.integers(len(array), size=count)]
                )
                largest[site.pair.tensor][number % 2].append(np.abs(array).max(axis=0))
        progress(number + 1, len(samples))
    return {
        tensor: (_half(rows[tensor][0], largest[tensor][0]), _half(rows[tensor][1], odd))
        for tensor, (even, odd) in largest.items()
        if even and odd and np.isfinite(np.concatenate((even, odd))).all()
    }


def _by_channel(array: Rows, axis: int) -> Rows:
    moved = np.moveaxis(array, axis, -1)
    return moved.reshape(-1, moved.shape[-1])


def _half(rows: Sequence[Rows], largest: Sequence[Rows]) -> Half:
    return Half(rows=np.concatenate(rows), largest=np.stack(largest))
