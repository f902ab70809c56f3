"""Kernels that can run as one: a product, and the generated kernel that alone reads its result.

TensorRT-RTX lists what it compiles ahead of time. There the scaling, activation and rounding behind
an INT8 product are kernels of their own, and those behind a product in half precision are not.
TensorRT computes such an epilogue inside the product's kernel. A lower bound that counts both kinds
of engine alike has to assume that: the result between the two stays on the chip.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from onnxq.cost.gpu import Gpu
from onnxq.cost.kernel import Kernel, elements, size
from onnxq.kernels.layers import Layer, LayerTensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Kernels that can run as one, and the least time for them.

    `bytes` is what they move through memory, `on_chip` what they would move more as listed, with
    the tensors `stays`. The step is bound by 'memory', or by 'products'.
    """

    kernels: tuple[Kernel, ...]
    bytes: int
    on_chip: int
    stays: tuple[str, ...]
    seconds: float
    bound: str

    @property
    def macs(self) -> Mapping[str, int]:
        """Multiplications by type."""
        return summed(kernel.macs for kernel in self.kernels)

    @property
    def converts(self) -> bool:
        """True when all of it is conversion."""
        return all(kernel.conversion not in ("", "unclear") for kernel in self.kernels)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The ONNX nodes that the kernels compute, each once."""
        return tuple(dict.fromkeys(n for kernel in self.kernels for n in kernel.nodes))


def summed(counts: Iterator[Mapping[str, int]]) -> dict[str, int]:
    """The sums of counts by type."""
    sums: Counter[str] = Counter()
    for count in counts:
        sums.update(count)
    return dict(sorted(sums.items()))


def steps(
    layers: Sequence[Layer], kernels: Sequence[Kernel], outputs: Collection[str], gpu: Gpu
) -> tuple[Step, ...]:
    """Group the kernels of these layers, in their order; `outputs` are those of the engine."""
    joins = _Joins(layers, outputs)
    groups = {index: [index] for index in range(len(layers))}
    stays: dict[int, list[LayerTensor]] = {}
    for index, own in enumerate(kernels):
        for tensor, maker in joins.of(index, is_move=own.conversion == "reformat"):
            members, others = groups[index], groups[maker]
            if members is not others:
                others.extend(members)
                groups.update(dict.fromkeys(members, others))
            stays.setdefault(index, []).append(tensor)
    first = {min(group): sorted(group) for group in groups.values()}
    return tuple(
        _step([kernels[i] for i in group], [t for i in group for t in stays.get(i, ())], gpu)
        for _, group in sorted(first.items())
    )


def _step(kernels: Sequence[Kernel], stays: Sequence[LayerTensor], gpu: Gpu) -> Step:
    on_chip = 2 * sum(map(size, stays))  # written once, read once
    moved = sum(kernel.bytes for kernel in kernels) - on_chip
    memory = gpu.memory_seconds(moved)
    products = gpu.product_seconds(summed(kernel.macs for kernel in kernels))
    return Step(
        kernels=tuple(kernels),
        bytes=moved,
        on_chip=on_chip,
        stays=tuple(tensor.name for tensor in stays),
        seconds=max(memory, products),
        bound="memory" if memory >= products else "products",
    )


class _Joins:
    """Which tensors stay on the chip, and the layers that make them."""

    def __init__(self, layers: Sequence[Layer], outputs: Collection[str]) -> None:
        self._layers, self._outputs = layers, frozenset(outputs)
        self._readers = Counter(t for x in layers for t in {t.name for t in x.inputs})
        self._makers: dict[str, list[int]] = {}
        self._products = {i for i, layer in enumerate(layers) if layer.is_product}
        for index, layer in enumerate(layers):
            for name in {t.name for t in layer.outputs}:
                self._makers.setdefault(name, []).append(index)

    def of(self, index: int, *, is_move: bool) -> Iterator[tuple[LayerTensor, int]]:
        """The results of products that a generated kernel alone reads, with their makers.

        It takes in no more values than it writes: of two products that it adds up one is first
        stored, and a mean over a product's result reads it from memory. Behind a kernel that only
        moves a product's result another one may follow.
        """
        layer = self._layers[index]
        if layer.kind != "kgen" or layer.is_product:
            return
        room = _written(layer)
        inputs = {t.name: t for t in layer.inputs}
        for tensor in sorted(inputs.values(), key=elements, reverse=True):
            makers = self._makers.get(tensor.name, [])
            alone = self._readers[tensor.name] == 1 and tensor.name not in self._outputs
            if alone and len(makers) == 1 and makers[0] in self._products:
                if elements(tensor) > room:
                    continue
                room -= elements(tensor)
                if is_move:
                    self._products.add(index)
                yield tensor, makers[0]


def _written(layer: Layer) -> int:
    """The number of values that a layer computes; copies in another type are the same values."""
    by_type: Counter[str] = Counter()
    for tensor in layer.outputs:
        by_type[tensor.dtype] += elements(tensor)
    return max(by_type.values(), default=0)
