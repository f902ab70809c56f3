"""Second-order rounding of weights: `second_order` has the method, this is what it works on.

The inputs are those of the Q/DQ model, so that the rounding suits what the op will read. Moments
are not centered: the mean of a channel is a part of the noise as any other, and no bias changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from onnxq.formats import FORMATS
from onnxq.improvement.edits import Array, Edits
from onnxq.improvement.improver import Work
from onnxq.improvement.staged import StagedRun
from onnxq.improvement.subject import Subject
from onnxq.improvement.weights.moments import Moments, nbytes
from onnxq.improvement.weights.patches import Product, product
from onnxq.improvement.weights.second_order import Float64, noise, regularized, rounded
from onnxq.model.constants import Constants
from onnxq.model.graph import Node
from onnxq.planning.plan import Pair
from onnxq.quantization import quantize

_MEMORY: Final = 1 << 29  # bytes of moments that are gathered at once
_ROWS: Final = (4, 4096, 16384)  # positions: for each input, but at least and at most so many
_SLOT: Final = 1  # of the weight
_LARGE: Final = 2048  # inputs; below, BLAS on several threads takes far longer beside other work


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rounded:
    """A product whose weight may be rounded again."""

    node: Node
    product: Product
    pair: Pair
    weight: Array

    @property
    def shape(self) -> tuple[int, int, int]:
        """Groups, outputs of a group, inputs of a group."""
        groups, outputs, inputs = self.product.rows(self.weight).shape
        return groups, outputs, inputs

    def edits(self, scale: Array, moments: Moments) -> Edits:
        """The weight rounded to the steps of a scale."""
        steps = self._steps(scale)
        rows = self.product.rows(self.weight).astype(np.float64)
        to = FORMATS[self.pair.descriptor.dtype]
        lowest = -to.largest if self.pair.descriptor.narrow_range else to.lowest
        plain = moments.second()
        integers = rounded(
            rows,
            steps,
            regularized(plain, moments.count),
            (int(lowest), int(to.largest)),
        )
        nearest = self.product.rows(self._nearest(scale)).astype(np.float64)
        changed = float(np.mean(integers != nearest))
        if not changed:
            return Edits()
        before = noise(rows - steps * nearest, plain).sum()
        after = noise(rows - steps * integers, plain).sum()
        note = f"{changed:.1%} of the weights rounded otherwise"
        if 0 < after < before:
            note += f", noise of rounding {10 * np.log10(before / after):.1f} dB lower"
        weight = self.product.weight((integers * steps).astype(np.float32))
        return Edits(
            constants={self.pair.tensor: np.ascontiguousarray(weight)},
            scales={self.pair: scale},
            notes={self.node.name: note},
        )

    def _steps(self, scale: Array) -> Float64:
        """The scale of every weight, in rows."""
        axis, size = self.pair.axis, self.pair.descriptor.block_size
        if axis is not None and size is not None:
            scale = np.repeat(scale, size, axis=axis)
        elif axis is not None:
            scale = scale.reshape([-1 if a == axis else 1 for a in range(self.weight.ndim)])
        whole = np.broadcast_to(scale, self.weight.shape)
        return self.product.rows(whole).astype(np.float64)

    def _nearest(self, scale: Array) -> Array:
        """What insertion would store."""
        descriptor = self.pair.descriptor
        return quantize(
            self.weight,
            scale,
            axis=self.pair.axis,
            narrow_range=descriptor.narrow_range,
            dtype=descriptor.dtype,
            block_size=descriptor.block_size,
        )


class Rounding:
    """Rounds weights of Conv, ConvTranspose, Gemm and MatMul, in int8 and in blocks of int4."""

    def improve(self, work: Work) -> Edits:
        """Return weights that are whole multiples of their scales, and these scales."""
        ops, reasons = _Choice(work.subject).of(work.targets)
        edits = Edits(notes={name: f"left alone: {why}" for name, why in reasons.items()})
        scales = work.subject.scales.by_pair
        largest = max((op.shape[2] for op in ops), default=0)
        with threadpool_limits(1 if largest < _LARGE else None, user_api="blas"):
            for op, moments in _gathered(work, ops):
                edits = edits.then(op.edits(scales[op.pair], moments))
        return edits


class _Choice:
    """Which weights may be rounded again."""

    def __init__(self, subject: Subject) -> None:
        self._graph, self._pairs = subject.graph, subject.scales.by_pair
        self._stored = Constants(subject.model.graph).stored()

    def of(self, nodes: Iterable[str]) -> tuple[list[_Rounded], dict[str, str]]:
        """The ops, and by the name of any other node why it is none."""
        by_node = {name: self._of(self._graph.by_name[name]) for name in nodes}
        usable = [op for op in by_node.values() if isinstance(op, _Rounded)]
        return usable, {name: why for name, why in by_node.items() if isinstance(why, str)}

    def _of(self, node: Node) -> _Rounded | str:
        pair = next((p for p in self._pairs if p.kind == "weight" and _reads(p, node)), None)
        if why := self._obstacle(node, pair):
            return why
        assert pair is not None
        form = product(self._graph, node)
        if isinstance(form, str):
            return form
        weight = self._graph.array(pair.tensor)
        op = _Rounded(node=node, product=form, pair=pair, weight=weight)
        groups, _, inputs = op.shape
        if not weight.size:
            return "its weight is empty"
        if nbytes(groups, inputs) > _MEMORY:
            return f"the moments of {inputs} inputs take more than {_MEMORY >> 20} MiB"
        return op

    def _obstacle(self, node: Node, pair: Pair | None) -> str:
        if node.scope:
            return "it is in a body of an If, Loop or Scan"
        if pair is None:
            return f"its input {_SLOT} is no weight with a pair"
        name = pair.tensor
        if pair.existing is not None or not FORMATS[pair.descriptor.dtype].is_integer:
            return f"'{name}' is not rounded to integers here"
        if name not in self._stored:
            return f"its weight '{name}' is computed"
        if len(self._graph.consumers(name)) > 1 or name in self._graph.given_out:
            return f"others read its weight '{name}' too"
        if self._graph.array(name).dtype != np.float32:
            return f"its weight '{name}' is not float32"
        return ""


def _reads(pair: Pair, node: Node) -> bool:
    return any(edge.node == node.name and edge.slot == _SLOT for edge in pair.edges)


def _gathered(work: Work, ops: list[_Rounded]) -> Iterator[tuple[_Rounded, Moments]]:
    """The moments of what each op reads in the Q/DQ model."""
    quantized = work.subject.quantized()
    reads = {node.name: node.input[0] for node in quantized.graph.node if node.input}
    run = StagedRun(
        quantized,
        work.fitting,
        [reads[op.node.name] for op in ops],
        is_edited=False,
        libraries=work.judge.libraries,
    )
    done, total = 0, len(ops) * (len(work.fitting) + 1)
    for group in _by_memory(ops):
        moments = [Moments(groups=op.shape[0], inputs=op.shape[2]) for op in group]
        draws = [np.random.default_rng(work.seed) for _ in group]
        tensors = list(dict.fromkeys(reads[op.node.name] for op in group))
        for values in run.values(tensors):
            for op, sums, rng in zip(group, moments, draws, strict=True):
                limit = -(-_rows(op.shape[2]) // len(work.fitting))
                sums.add(op.product.inputs(values[reads[op.node.name]], limit, rng))
            done += len(group)
            work.progress(done, total)
        for op, sums in zip(group, moments, strict=True):
            yield op, sums
            done += 1
            work.progress(done, total)


def _rows(inputs: int) -> int:
    """How many rows of inputs the moments need."""
    each, least, most = _ROWS
    return min(max(each * inputs, least), most)


def _by_memory(ops: list[_Rounded]) -> Iterator[list[_Rounded]]:
    """The ops in their order, as many at once as the memory allows."""
    group: list[_Rounded] = []
    size = 0
    for op in ops:
        groups, _, inputs = op.shape
        if group and size + nbytes(groups, inputs) > _MEMORY:
            yield group
            group, size = [], 0
        group.append(op)
        size += nbytes(groups, inputs)
    if group:
        yield group
