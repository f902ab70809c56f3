"""equalize: channels of an activation divided by factors that the weights of its readers take back.

A factor a channel in front of a pair costs nothing in TensorRT-RTX: it becomes part of the scale in
the kernel that writes INT8. So it may stand behind any op, SiLU, GELU and Clip among them, and the
float model computes what it computed.
"""

from __future__ import annotations

import numpy as np

from onnxq.improvement.channels.division import WORTH, evened, note, observed
from onnxq.improvement.channels.factors import Factors, factors
from onnxq.improvement.channels.sites import Site, shared_sites
from onnxq.improvement.channels.streams import Stream, stream
from onnxq.improvement.edits import Array, Edits
from onnxq.improvement.improver import Work
from onnxq.improvement.subject import Subject


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
        return moved.then(evened(work, subject, normalized=False))


def _moved(work: Work, targets: frozenset[str]) -> Edits:
    """Edits of the streams in which some sum reads the pair that a product reads."""
    graph, edits = work.subject.graph, Edits()
    shared = list(shared_sites(work.subject))
    streams: dict[Stream, list[Site]] = {}
    for site in shared:
        known = next((s for s in streams if site.pair.tensor in s.tensors), None)
        own = known or stream(graph, site.pair.tensor)
        if own is not None and own.nodes <= targets:
            streams.setdefault(own, []).append(site)
    seen = observed(work.subject, [site for tied in streams.values() for site in tied], work)
    by_tensor = {each[0].pair.tensor: each for each in seen}
    for tied, members in streams.items():
        values_of = [by_tensor[s.pair.tensor] for s in members if s.pair.tensor in by_tensor]
        values, share = factors(graph, values_of) if values_of else (np.ones(1), 1.0)
        if share < WORTH:
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
        notes=dict.fromkeys(tied.nodes, note(tied.tensors[0], values, share)),
    )
