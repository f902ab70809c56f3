"""Values of tensors between blocks, of the float and of the Q/DQ model, sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from onnxq.feeds.samples import Tensors as Sample
from onnxq.improvement.capture import captured
from onnxq.improvement.training.blocks import Block
from onnxq.improvement.training.parameters import Parameters
from onnxq.sessions import Libraries
from onnxq.torch_graph.parts import LackingError, Part, TorchGraph

MEMORY: Final = 1 << 30  # bytes that values between blocks may take
LEAST: Final = 8  # samples, however much memory they take


class Values:
    """Of each sample the tensors that blocks still to come read.

    `exact` holds those of the float model, `rounded` those of the Q/DQ model with what is learned
    so far. A block that torch cannot compute is computed by onnxruntime, from the inputs of the
    model on.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        exact: onnx.ModelProto,
        parameters: Parameters,
        libraries: Libraries = (),
    ) -> None:
        self._samples, self._exact, self._parameters = samples, exact, parameters
        self._libraries = libraries
        self.exact = [{n: _tensor(a) for n, a in sample.items()} for sample in samples]
        self.rounded = [dict(sample) for sample in self.exact]

    def compute_exact(self, block: Block, part: Part | None) -> None:
        """Add the float outputs of a block."""
        if part is None:
            self._capture(self.exact, self._exact, block)
            return
        with torch.no_grad():
            for values in self.exact:
                values |= part({name: values[name] for name in block.inputs})

    def compute_rounded(
        self, block: Block, part: Part | None, quantized: Callable[[], onnx.ModelProto]
    ) -> None:
        """Add the outputs of a block of the Q/DQ model, which `quantized` makes."""
        if part is None:
            self._capture(self.rounded, quantized(), block)
            return
        with torch.no_grad():
            constants = self._parameters.constants(part)
            for values in self.rounded:
                feeds = {name: values[name] for name in block.inputs}
                values |= part(feeds, constants=constants, read=self._parameters.read)

    def forget(self, later: Iterable[Block]) -> None:
        """Let go of what no later block reads."""
        kept = {name for block in later for name in block.inputs}
        for values in (*self.exact, *self.rounded):
            for name in values.keys() - kept:
                del values[name]

    def _capture(
        self, values: list[dict[str, Tensor]], model: onnx.ModelProto, block: Block
    ) -> None:
        rows = captured(model, block.outputs, self._samples, libraries=self._libraries)
        for known, row in zip(values, rows, strict=True):
            known |= {name: _tensor(array) for name, array in row.items()}


def parts_of(graph: TorchGraph, blocks: Sequence[Block]) -> list[Part | None]:
    """Each block as torch computes it; None where it cannot, as with tensors of no values."""
    return [_part(graph, block) for block in blocks]


def _part(graph: TorchGraph, block: Block) -> Part | None:
    try:
        part = graph.part(block.inputs, block.outputs)
    except LackingError:
        return None
    names = (n for step in part.steps for n in (*step.node.inputs, *step.node.outputs))
    return None if any(0 in (graph.graph.type(n).shape or ()) for n in names) else part


def affordable(
    samples: Sequence[Sample],
    blocks: Sequence[Block],
    model: onnx.ModelProto,
    libraries: Libraries = (),
) -> Sequence[Sample]:
    """As many of the samples as have room for their values, by what the first of them needs."""
    names = dict.fromkeys(n for block in blocks for n in (*block.inputs, *block.outputs))
    first = next(captured(model, names, samples[:1], libraries=libraries))
    sizes = {n: a.nbytes for n, a in first.items()}
    known, largest = set[str](), 1
    for place, block in enumerate(blocks):
        known |= {*block.inputs, *block.outputs}
        largest = max(largest, sum(sizes[name] for name in known))
        known &= {name for later in blocks[place + 1 :] for name in later.inputs}
    return samples[: max(LEAST, MEMORY // (2 * largest))]


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(array))
