"""equalize: channels of an activation divided by factors that the weights of its readers take back.

A factor a channel in front of a pair costs nothing in TensorRT-RTX: it becomes part of the scale in
the kernel that writes INT8. So it may stand behind any op, SiLU, GELU and Clip among them, and the
float model computes what it computed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from onnxq.improvement.edits import Array, Edits
from onnxq.improvement.factors import Factors, Observed, factors
from onnxq.improvement.improver import Work
from onnxq.improvement.normalized import is_normalized
from onnxq.improvement.sites import Site, halves, shared_sites, sites
from onnxq.improvement.streams import Stream, stream
from onnxq.improvement.subject import Subject
from onnxq.model.graph import Graph

_WORTH: Final = 0.98  # of the noise in a product: what leaves more of it is left out


class Equalize:
    """Divides activations where products read them; the weights of these are multiplied.

    Where a sum reads the same pair, as in residual blocks, the factors stand in the weights of all
    Convs that make what is summed. Everywhere else they stand in front of the pair. What layers
    normalize is left to `LayerNorm`.
    """

    def improve(self, work: Work) -> Edits:
        """Factors where they lower the noise in the products that read an activation."""
        moved = _moved(work, frozenset(work.targets))
        subject = work.subject.edited(moved) if moved else work.subject
        return moved.then(_evened(work, subject, normalized=False))


class LayerNorm:
    """Divides what a layer normalization gives to products, SmoothQuant's place for its factors.

    The factors stand in front of the pair, so that a sum behind the normalization reads what it
    read, as in BERT. It runs before `Equalize`: the noise of these tensors hides what factors
    elsewhere do to the rest.
    """

    def improve(self, work: Work) -> Edits:
        """Factors where they lower the noise in the products that read a normalized tensor."""
        return _evened(work, work.subject, normalized=True)


def _evened(work: Work, subject: Subject, *, normalized: bool) -> Edits:
    """Edits that divide sites in front of their pairs."""
    graph, edits = subject.graph, Edits()
    chosen = [
        site
        for site in sites(subject, frozenset(work.targets))
        if is_normalized(graph, site.pair.tensor) == normalized
    ]
    seen = _observed(subject, chosen, work)
    for number, each in enumerate(seen, start=1):
        values, share = factors(graph, [each])
        if share < _WORTH:
            edits = edits.then(divided(graph, each[0], values, share))
        work.progress(number, len(seen))
    return edits


def _moved(work: Work, targets: frozenset[str]) -> Edits:
    """Edits of the streams in which some sum reads the pair that a product reads."""
    graph, edits = work.subject.graph, Edits()
    shared = list(shared_sites(work.subject))
    streams: dict[Stream, list[Site]] = {}
    for site in shared:
        known = next((s for s in streams if site.pair.tensor in s.tensors), None)
        found = known or stream(graph, site.pair.tensor)
        if found is not None and found.nodes <= targets:
            streams.setdefault(found, []).append(site)
    seen = _observed(work.subject, [site for tied in streams.values() for site in tied], work)
    by_tensor = {each[0].pair.tensor: each for each in seen}
    for tied, members in streams.items():
        observed = [by_tensor[s.pair.tensor] for s in members if s.pair.tensor in by_tensor]
        values, share = factors(graph, observed) if observed else (np.ones(1), 1.0)
        if share < _WORTH:
            edits = edits.then(_in_weights(work.subject, edits, tied, values, share))
    return edits


def _in_weights(
    subject: Subject, before: Edits, tied: Stream, values: Factors, share: float
) -> Edits:
    """The edits that divide the channels of a stream by `values`."""
    quantized = {pair.tensor for pair in subject.scales.by_pair}

    def present(name: str) -> Array:
        return before.constants[name] if name in before.constants else subject.graph.array(name)

    return Edits(
        constants=tied.divided(present, values.astype(np.float32)),
        moved=frozenset(quantized.intersection(tied.tensors)),
        notes=dict.fromkeys(tied.nodes, _note(tied.tensors[0], values, share)),
    )


def _observed(subject: Subject, chosen: Sequence[Site], work: Work) -> list[Observed]:
    seen = halves(subject, chosen, work.fitting, work.progress) if chosen else {}
    return [(s, *seen[s.pair.tensor]) for s in chosen if s.pair.tensor in seen]


def divided(graph: Graph, site: Site, values: Factors, share: float) -> Edits:
    """The edits that divide the channels of a site by `values`."""
    rounded = values.astype(np.float32)  # the same numbers on both sides
    weights = {reader: graph.array(reader.weight) for reader in site.readers}
    first, array = next(iter(weights.items()))
    return Edits(
        constants={r.weight: r.weighted(weight, rounded) for r, weight in weights.items()},
        divisors={site.pair: first.along(rounded, array)},
        notes=dict.fromkeys(site.nodes, _note(site.pair.tensor, values, share)),
    )


def _note(tensor: str, values: Factors, share: float) -> str:
    spread, gain = values.max() / values.min(), -10 * math.log10(share)
    return (
        f"channels of '{tensor}' divided by factors up to {spread:.3g} times apart: {gain:.1f} dB "
        "less noise in what reads it"
    )
