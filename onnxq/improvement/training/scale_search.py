"""The factor on each activation scale that lets the least noise through to the outputs.

The gradient g of the outputs, weighted with random numbers, says what the error e of a pair does
there: in the mean (g'e)^2 is the noise power that it brings (Hutchinson, 1990,
doi:10.1080/03610919008812866). With one gradient the errors of many scales can be judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from onnxq.improvement.edits import Array, Edits
from onnxq.improvement.improver import Work
from onnxq.improvement.loss import Shares
from onnxq.insertion.scales import Scale
from onnxq.planning.plan import Pair
from onnxq.torch_graph.fake_quantization import fake_quantize, grid_of
from onnxq.torch_graph.parts import TorchGraph
from onnxq.torch_graph.probe import Probe, probe, seed

FACTORS: Final = (0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.12, 1.25, 1.4, 1.7, 2.2, 3.0, 4.5)
SAMPLES: Final = 24
DRAWS: Final = 2  # random numbers for each value of an output, for each sample
_BINS: Final = 32  # in a step of the present scale
_LARGEST: Final = 600.0  # steps of the present scale: more than any factor leaves unclipped
_COUNT: Final = int(2 * _LARGEST * _BINS) + 1


class ScaleSearch:
    """One search; pairs of a share group have one factor."""

    def __init__(self, work: Work) -> None:
        self._work, scales = work, work.subject.scales.by_pair
        self._units = _units(scales, frozenset(work.targets))
        pairs = [pair for unit in self._units for pair in unit]
        self._of_kind: dict[object, Array] = {}
        self._rng = np.random.default_rng(work.seed)
        self._noise = np.zeros((len(self._units), len(FACTORS)))
        self._graph = TorchGraph(work.subject.graph, pairs)

    def result(self, shares: Mapping[str, Shares]) -> Edits:
        """The scales whose factor is not 1.

        `shares` are those of the outputs. Raises LackingError where torch lacks an operator, and
        TooLargeError.
        """
        if not self._units:
            return Edits()
        part = self._graph.part(self._work.subject.graph.inputs, list(shares))
        samples = self._work.fitting[:SAMPLES]
        for done, sample in enumerate(samples, start=1):
            probed = probe(part, {n: torch.from_numpy(np.array(a)) for n, a in sample.items()})
            draws = (self._seeds(probed, shares) for _ in range(DRAWS))
            self._add(probed, [probed.gradients(seeds) for seeds in draws])
            self._work.progress(done, len(samples))
        return self._chosen()

    def _seeds(self, probed: Probe, shares: Mapping[str, Shares]) -> dict[str, Tensor]:
        return {
            name: seed(tensor, shares[name].weights(tuple(tensor.shape)), self._rng)
            for name, tensor in probed.outputs.items()
        }

    def _add(self, probed: Probe, gradients: Sequence[Mapping[Pair, Tensor]]) -> None:
        for row, unit in enumerate(self._units):
            products = [
                self._products(probed.tensors[pair], [g[pair] for g in gradients], pair)
                for pair in unit
                if pair in gradients[0]
            ]
            if products:
                squares = np.square(np.sum(products, axis=0))
                self._noise[row] += np.nan_to_num(squares, nan=0, posinf=0).sum(axis=0)

    def _products(self, x: Tensor, gradients: Sequence[Tensor], pair: Pair) -> Array:
        """Gradient * error: a row for each gradient, a column for each factor.

        Values are sorted into bins, as the error depends on nothing else. What lies beyond all
        bins is clipped by every factor alike.
        """
        scale = float(self._work.subject.scales.by_pair[pair])
        steps = (x.detach().reshape(-1) / scale).nan_to_num(0)
        inside = steps.clamp(-_LARGEST, _LARGEST)
        places = ((inside + _LARGEST) * _BINS).round_().long()
        beyond = inside - steps
        rows = []
        for gradient in gradients:
            flat = gradient.reshape(-1)
            sums = torch.bincount(places, weights=flat, minlength=_COUNT).numpy()
            rows.append(self._errors(pair) @ sums + float(torch.dot(flat, beyond)))
        return scale * np.array(rows)

    def _errors(self, pair: Pair) -> Array:
        """What a pair of scale 1 adds to the middle of each bin: a row for each factor."""
        key = (pair.descriptor.dtype, pair.descriptor.narrow_range)
        if key not in self._of_kind:
            middles = torch.from_numpy((np.arange(_COUNT) / _BINS - _LARGEST).astype(np.float32))
            grid, scales = grid_of(pair), map(torch.tensor, FACTORS)
            rows = [(fake_quantize(middles, s, grid) - middles).numpy() for s in scales]
            self._of_kind[key] = np.array(rows)
        return self._of_kind[key]

    def _chosen(self) -> Edits:
        scales: dict[Pair, Scale] = {}
        notes: dict[str, str] = {}
        present = FACTORS.index(1.0)
        for unit, noise in zip(self._units, self._noise, strict=True):
            best = int(np.argmin(noise))
            if noise[best] < noise[present]:
                factor = np.float32(FACTORS[best])
                gain = 10 * np.log10(noise[present] / max(noise[best], 1e-30))
                for pair in unit:
                    before = self._work.subject.scales.by_pair[pair]
                    scales[pair] = np.asarray(before * factor, before.dtype)
                    text = f"scale of its input times {factor:g}: {gain:.2f} dB less of its noise"
                    notes |= {edge.node: text for edge in pair.edges}
        targets = frozenset(self._work.targets)
        return Edits(scales=scales, notes={n: text for n, text in notes.items() if n in targets})


def _units(scales: Mapping[Pair, Scale], targets: frozenset[str]) -> list[Sequence[Pair]]:
    """The activation pairs that may change, those of a share group together."""
    units: dict[object, list[Pair]] = {}
    for place, pair in enumerate(scales):
        if pair.kind == "activation":
            units.setdefault(place if pair.group is None else (pair.group,), []).append(pair)
    return [unit for unit in units.values() if all(_may_change(p, targets) for p in unit)]


def _may_change(pair: Pair, targets: frozenset[str]) -> bool:
    is_fixed = pair.existing is not None or pair.is_half or pair.descriptor.amax is not None
    return not is_fixed and any(edge.node in targets for edge in pair.edges)
