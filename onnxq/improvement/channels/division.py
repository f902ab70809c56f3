"""Factors in front of pairs, where they lower the noise in the products behind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from onnxq.improvement.channels.factors import Factors, Observed, factors
from onnxq.improvement.channels.normalized import is_normalized
from onnxq.improvement.channels.sites import Site, halves, sites
from onnxq.improvement.edits import Edits
from onnxq.improvement.improver import Work
from onnxq.improvement.subject import Subject
from onnxq.model.graph import Graph

WORTH: Final = 0.98  # of the noise in a product: what leaves more of it is left out


def evened(work: Work, subject: Subject, *, normalized: bool) -> Edits:
    """Edits that divide sites in front of their pairs."""
    graph, edits = subject.graph, Edits()
    chosen = [
        site
        for site in sites(subject, frozenset(work.targets))
        if is_normalized(graph, site.pair.tensor) == normalized
    ]
    seen = observed(subject, chosen, work)
    for number, each in enumerate(seen, start=1):
        values, share = factors(graph, [each])
        if share < WORTH:
            edits = edits.then(divided(graph, each[0], values, share))
        work.progress(number, len(seen))
    return edits


def observed(subject: Subject, chosen: Sequence[Site], work: Work) -> list[Observed]:
    """Values of the sites that the samples to fit on reach, in two halves."""
    seen = (
        halves(subject, chosen, work.fitting, work.progress, work.judge.libraries) if chosen else {}
    )
    return [(s, *seen[s.pair.tensor]) for s in chosen if s.pair.tensor in seen]


def divided(graph: Graph, site: Site, values: Factors, share: float) -> Edits:
    """The edits that divide the channels of a site by `values`."""
    rounded = values.astype(np.float32)  # the same numbers on both sides
    weights = {reader: graph.array(reader.weight) for reader in site.readers}
    first, array = next(iter(weights.items()))
    return Edits(
        constants={r.weight: r.weighted(weight, rounded) for r, weight in weights.items()},
        divisors={site.pair: first.along(rounded, array)},
        notes=dict.fromkeys(site.nodes, note(site.pair.tensor, values, share)),
    )


def note(tensor: str, values: Factors, share: float) -> str:
    """What was done to a tensor, and what share of the noise is left."""
    spread, gain = values.max() / values.min(), -10 * math.log10(share)
    return (
        f"channels of '{tensor}' divided by factors up to {spread:.3g} times apart: {gain:.1f} dB "
        "less noise in what reads it"
    )
