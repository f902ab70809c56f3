"""equalize: channels of an activation divided by factors that the weights of its readers take back.

A factor a channel in front of a pair costs nothing in TensorRT-RTX: it becomes part of the scale in
the kernel that writes INT8. So it may stand behind any op, SiLU, GELU and Clip among them, and the
float model computes what it computed.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from onnxq.improvement.edits import Edits
from onnxq.improvement.factors import Factors, factors
from onnxq.improvement.improver import Work
from onnxq.improvement.sites import Site, halves, sites
from onnxq.model.graph import Graph

_WORTH: Final = 0.98  # of the noise in a product: what leaves more of it is left out


class Equalize:
    """Divides every activation that only products with weights read through its pair."""

    def improve(self, work: Work) -> Edits:
        """Factors for every site where they lower the noise in the products that read it."""
        graph = work.subject.graph
        chosen = list(sites(work.subject, frozenset(work.targets)))
        steps = len(work.fitting) + len(chosen)
        seen = halves(
            work.subject, chosen, work.fitting, lambda done, _: work.progress(done, steps)
        )
        edits = Edits()
        for number, site in enumerate(chosen, start=1):
            if site.pair.tensor in seen:
                values, share = factors(graph, site, *seen[site.pair.tensor])
                if share < _WORTH:
                    edits = edits.then(divided(graph, site, values, share))
            work.progress(len(work.fitting) + number, steps)
        return edits


def divided(graph: Graph, site: Site, values: Factors, share: float) -> Edits:
    """The edits that divide the channels of a site by `values`."""
    rounded = values.astype(np.float32)  # the same numbers on both sides
    weights = {reader: graph.array(reader.weight) for reader in site.readers}
    first, array = next(iter(weights.items()))
    spread, gain = values.max() / values.min(), -10 * math.log10(share)
    note = f"channels of '{site.pair.tensor}' divided by factors up to {spread:.3g} times apart: "
    return Edits(
        constants={r.weight: r.weighted(weight, rounded) for r, weight in weights.items()},
        divisors={site.pair: first.along(rounded, array)},
        notes=dict.fromkeys(site.nodes, f"{note}{gain:.1f} dB less noise in what reads it"),
    )
