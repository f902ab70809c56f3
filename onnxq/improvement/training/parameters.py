"""What is trained: logarithms of scales, and how far weights and biases moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from onnxq.improvement.edits import BIAS_SLOT, Array, Edits, edited
from onnxq.improvement.subject import Subject
from onnxq.improvement.weights.biased import output_channels
from onnxq.model.graph import Graph, Node
from onnxq.planning.plan import Pair
from onnxq.torch_graph.fake_quantization import fake_quantize, grid_of, spread
from onnxq.torch_graph.parts import Part, Tensors

Rates = Mapping[str, float]
# Adam moves a parameter by about its rate a step: scales by 0.15 %, weights by 1/400 of the
# distance between two of their quantized values, biases by 1/2000 of their mean magnitude.
RATES: Final[Rates] = {"scale": 1.5e-3, "weight": 2.5e-3, "bias": 5e-4}
_WITH_BIAS: Final = ("Conv", "ConvTranspose", "Gemm")


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """A constant as its first value and how many `unit`s it has moved since, which is trained."""

    first: Tensor
    unit: Tensor
    by: Tensor

    @property
    def value(self) -> Tensor:
        """The present value."""
        return self.first + self.unit * self.by


class Parameters:
    """All that may be trained at some nodes of a subject.

    `graph` is that of the subject with a bias of zeros at every product that can have one. Scales
    are one for each share group, weights and biases those that one node alone reads.
    """

    def __init__(self, subject: Subject, targets: Iterable[str]) -> None:
        self._targets = frozenset(targets)
        paired = {edge.node for pair in subject.scales.by_pair for edge in pair.edges}
        self._zeros = _missing_biases(subject.graph, self._targets & paired)
        model = edited(subject.model, Edits(biases=self._zeros))
        self.graph = Graph(model, digest=subject.original.digest, shapes=subject.original.shapes)
        by_pair = {pair: np.asarray(s, np.float32) for pair, s in subject.scales.by_pair.items()}
        self.pairs = tuple(by_pair)
        self._key = {pair: _key(pair, i) for i, pair in enumerate(self.pairs)}
        self._logs = {key: torch.tensor(np.log(by_pair[p])) for p, key in self._key.items()}
        self._first = {key: log.clone() for key, log in self._logs.items()}
        free = {self._key[p] for p in self.pairs if self._is_free(p)}
        fixed = {self._key[p] for p in self.pairs if p.existing is not None or p.is_half}
        self.scales = {
            k: log.requires_grad_() for k, log in self._logs.items() if k in free - fixed
        }
        self.weights = dict(self._weights(by_pair))
        self.biases = dict(self._biases())

    def of(self, nodes: frozenset[str]) -> dict[str, list[Tensor]]:
        """The parameters that some nodes read, by kind, each in a fixed order."""
        reads = {name for node in nodes for name in self.graph.by_name[node].inputs}
        keys = {self._key[p] for p in self.pairs if any(e.node in nodes for e in p.edges)}
        return {
            "scale": [tensor for key, tensor in self.scales.items() if key in keys],
            "weight": [moved.by for name, moved in self.weights.items() if name in reads],
            "bias": [moved.by for name, moved in self.biases.items() if name in reads],
        }

    def constants(self, part: Part) -> dict[str, Tensor]:
        """The present values of the constants that a part reads."""
        reads = {name for step in part.steps for name in step.node.inputs}
        both = {**self.weights, **self.biases}
        return {name: moved.value for name, moved in both.items() if name in reads}

    def read(self, pair: Pair, x: Tensor) -> Tensor:
        """What nodes read through a pair."""
        return fake_quantize(x, self._logs[self._key[pair]].exp(), grid_of(pair))

    def arrays(self) -> dict[str, Array]:
        """All parameters by a name of their own."""
        return {name: t.detach().numpy().copy() for name, t in self._named()}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take the values that `arrays` gave."""
        with torch.no_grad():
            for name, tensor in self._named():
                tensor.copy_(torch.from_numpy(np.array(arrays[name])))

    def edits(self) -> Edits:
        """What differs from the subject, by the names of the model."""
        both = (*self.weights.items(), *self.biases.items())
        with torch.no_grad():
            values = {name: moved.value for name, moved in both if moved.by.any()}
        arrays = {name: np.ascontiguousarray(v.numpy()) for name, v in values.items()}
        new = {self.graph.by_name[node].inputs[BIAS_SLOT]: node for node in self._zeros}
        return Edits(
            constants={n: a for n, a in arrays.items() if n not in new},
            biases={new[n]: a for n, a in arrays.items() if n in new},
            scales={
                pair: log.exp().numpy()
                for pair, key in self._key.items()
                if not torch.equal(log := self._logs[key].detach(), self._first[key])
            },
        )

    def _named(self) -> list[tuple[str, Tensor]]:
        """Every trained tensor; numbers stand for names, which may be of any length."""
        kinds: dict[str, Iterable[Tensor]] = {
            "scale": self.scales.values(),
            "weight": (m.by for m in self.weights.values()),
            "bias": (m.by for m in self.biases.values()),
        }
        return [(f"{kind}{i}", t) for kind, ts in kinds.items() for i, t in enumerate(ts)]

    def _is_free(self, pair: Pair) -> bool:
        return any(edge.node in self._targets for edge in pair.edges)

    def _weights(self, by_pair: Mapping[Pair, Any]) -> Iterable[tuple[str, Moved]]:
        for pair, scale in by_pair.items():
            if pair.kind == "weight" and self._is_free(pair) and self._is_own(pair.tensor):
                first = in_layout(torch.from_numpy(np.array(self.graph.array(pair.tensor))))
                unit = spread(grid_of(pair), torch.tensor(scale), first)
                yield pair.tensor, Moved(first, unit, _zeros_like(first))

    def _biases(self) -> Iterable[tuple[str, Moved]]:
        for node in map(self.graph.by_name.__getitem__, sorted(self._targets)):
            name = _bias(self.graph, node)
            if name and self._is_own(name):
                first = torch.from_numpy(np.array(self.graph.array(name)))
                size = first.abs().mean() if node.name not in self._zeros else self._size(node)
                yield name, Moved(first, size.clamp(min=1e-8), _zeros_like(first))

    def _size(self, node: Node) -> Tensor:
        """The magnitude of a bias that there was none of: a few steps of the node's product."""
        scales = [self._logs[self._key[p]].detach().exp().mean() for p in self.pairs
                  if any(e.node == node.name for e in p.edges)]  # fmt: skip
        return torch.stack(scales).prod() * 127

    def _is_own(self, name: str) -> bool:
        """True for a stored float32 constant that one node alone reads."""
        kind = self.graph.type(name)
        is_alone = len(self.graph.consumers(name)) == 1 and name not in self.graph.given_out
        return is_alone and kind.dtype == 1 and self.graph.is_stored(name)


def in_layout(x: Tensor) -> Tensor:
    """The tensor with channels last where it is a picture, which convolutions compute faster."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def stacked(samples: list[Tensors], names: Iterable[str]) -> dict[str, Tensor]:
    """Some tensors of several samples, one behind the other; a scalar stands alone."""
    if len(samples) == 1:
        return {n: in_layout(samples[0][n]) for n in names}
    return {n: in_layout(torch.cat([s[n] for s in samples])) for n in names}


def _zeros_like(first: Tensor) -> Tensor:
    return torch.zeros_like(first).requires_grad_()


def _key(pair: Pair, place: int) -> str:
    return f"pair {place}" if pair.group is None else f"group {pair.group}"


def _bias(graph: Graph, node: Node) -> str:
    """The bias of a product: its own, or the constant that an Add behind it adds; '' for none."""
    if node.op in _WITH_BIAS and len(node.inputs) > BIAS_SLOT:
        return node.inputs[BIAS_SLOT]
    readers = graph.consumers(node.outputs[0])
    if len(readers) != 1 or node.outputs[0] in graph.given_out:
        return ""
    reader = graph.by_name[readers[0].node]
    other = reader.inputs[1 - readers[0].slot] if reader.type == "Add" else ""
    return other if other and graph.is_constant(other) else ""


def _missing_biases(graph: Graph, targets: frozenset[str]) -> dict[str, Array]:
    """Zeros for the products that can have a bias, and whose result meets none at once."""
    zeros = {}
    for name in sorted(targets):
        node = graph.by_name[name]
        if node.type not in _WITH_BIAS or any(node.inputs[BIAS_SLOT:]) or _bias(graph, node):
            continue
        readers = [graph.by_name[e.node].type for e in graph.consumers(node.outputs[0])]
        weight = node.inputs[1]
        if "BatchNormalization" in readers or not graph.is_stored(weight):
            continue
        zeros[name] = np.zeros(output_channels(graph, node), np.float32)
    return zeros
