"""What the losses of an engine are found in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from onnxq.cost.engine import EngineCost
from onnxq.cost.kernel import Kernel
from onnxq.cost.steps import Step
from onnxq.kernels.layers import Layer
from onnxq.linting import Finding, QdqModel
from onnxq.model.pairs import PAIR_OPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """How the engine computes a product: the type that it multiplies, why not int8, and in which
    kernel; '' for what is unknown."""

    node: str
    dtype: str
    reason: str
    kernel: str


@dataclass(frozen=True, kw_only=True, eq=False)
class EngineView:
    """The engine of a Q/DQ model with what lint says of the model, and the FP16 engine if any."""

    model: QdqModel
    findings: Sequence[Finding]
    layers: Sequence[Layer]
    products: Sequence[Product]
    cost: EngineCost
    fp16: EngineCost | None

    @cached_property
    def by_name(self) -> Mapping[str, Layer]:
        """The layers by name."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def ports(self) -> frozenset[str]:
        """The inputs and outputs of the model."""
        return frozenset((*self.model.graph.inputs, *self.model.graph.outputs))

    @cached_property
    def step_of(self) -> Mapping[str, Step]:
        """The step of each kernel."""
        return {kernel.name: step for step in self.cost.steps for kernel in step.kernels}

    @cached_property
    def kernels(self) -> tuple[Kernel, ...]:
        """All kernels, in order."""
        return tuple(kernel for step in self.cost.steps for kernel in step.kernels)

    @cached_property
    def readers(self) -> Mapping[str, tuple[Layer, ...]]:
        """The layers that read each tensor."""
        readers: dict[str, dict[str, Layer]] = {}
        for layer in self.layers:
            for tensor in layer.inputs:
                readers.setdefault(tensor.name, {})[layer.name] = layer
        return {tensor: tuple(layers.values()) for tensor, layers in readers.items()}

    def finding(self, nodes: Collection[str], codes: Collection[str] = ()) -> Finding | None:
        """What lint says of some of the nodes, of one of the codes if these are given."""
        return next(
            (f for f in self.findings if f.node in nodes and (not codes or f.code in codes)), None
        )

    def ops(self, nodes: Collection[str]) -> Iterator[str]:
        """The nodes that are ops of the float model, as text such as "Conv 'head'"."""
        known = (self.model.graph.by_name[n] for n in nodes if n in self.model.graph.by_name)
        yield from (f"{n.op} '{n.name}'" for n in known if n.op not in (*PAIR_OPS, "Cast"))


def shortened(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def by_size(sizes: Counter[str]) -> list[str]:
    """The names with the largest counts first."""
    return [name for name, _ in sizes.most_common()]
