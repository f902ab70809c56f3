"""What an improver changes: numbers by name; of the graph only biases and divisors of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from onnxq.insertion.scales import Scale
from onnxq.model.constants import Constants
from onnxq.model.scopes import names, nodes
from onnxq.planning.plan import Pair

Array = NDArray[Any]
BIAS_SLOT: Final = 2  # of Conv, ConvTranspose and Gemm


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Edits:
    """Changed numbers of a model and of its plan.

    `constants` are new values of initializers and Constant nodes, by name, in the shape of the old.
    `biases` are those of Conv, ConvTranspose and Gemm nodes that had none, by node name, one value
    an output channel. `divisors` divide the tensor of a pair in front of it, by one value a channel
    in a shape that broadcasts: the pair then stands on a new tensor, and what reads it has its
    weights multiplied. `scales` replace the scale of a pair, in its shape; the pairs of a share
    group need the same. `moved` are the activations whose float values changed: they are observed
    again, and their pairs get the scales of that. `notes` say what was done, by node name; `why`
    says why nothing was.
    """

    constants: Mapping[str, Array] = field(default_factory=dict)
    biases: Mapping[str, Array] = field(default_factory=dict)
    divisors: Mapping[Pair, Array] = field(default_factory=dict)
    scales: Mapping[Pair, Scale] = field(default_factory=dict)
    moved: frozenset[str] = frozenset()
    notes: Mapping[str, str] = field(default_factory=dict)
    why: str = ""

    def __bool__(self) -> bool:
        """True when something changes."""
        return self.count > 0

    @property
    def count(self) -> int:
        """How many arrays change or are new."""
        return len(self.constants) + len(self.biases) + len(self.divisors) + len(self.scales)

    def then(self, later: Edits) -> Edits:
        """These edits and later ones, which win."""
        return Edits(
            constants={**self.constants, **later.constants},
            biases={**self.biases, **later.biases},
            divisors={**self.divisors, **later.divisors},
            scales={**self.scales, **later.scales},
            moved=self.moved | later.moved,
            notes={**self.notes, **later.notes},
        )


def edited(model: onnx.ModelProto, edits: Edits) -> onnx.ModelProto:
    """Return a copy of a prepared model with the constants and biases of edits, in its types.

    Raises KeyError for a constant or node that the model lacks, ValueError for another shape.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if edits.biases:  # first: later edits may change a bias that earlier ones added
        _add_biases(copy.graph, edits.biases, Constants(copy.graph))
    stored = Constants(copy.graph).stored()
    for name, array in edits.constants.items():
        _write(stored[name], array)
    for pair, divisor in edits.divisors.items():
        _divide(copy.graph, pair, divisor)
    return copy


def moved(pair: Pair) -> Pair:
    """A pair that has a divisor, on the divided tensor and outside share groups."""
    return replace(pair, tensor=divided(pair.tensor), group=None)


def with_divisors(scales: Mapping[Pair, Scale], divisors: Iterable[Pair]) -> dict[Pair, Scale]:
    """Scales by pair, in their order, with the pairs that have a divisor moved."""
    divided_pairs = frozenset(divisors)
    return {moved(p) if p in divided_pairs else p: scale for p, scale in scales.items()}


def divided(tensor: str) -> str:
    """The name of a tensor behind its divisor."""
    return f"{tensor}/divided"


def _divide(graph: onnx.GraphProto, pair: Pair, divisor: Array) -> None:
    """Multiply by the reciprocal, which the compiler merges into the kernel that writes INT8."""
    name = divided(pair.tensor)
    by_name = {node.name: node for node in graph.node}
    for edge in pair.edges:
        by_name[edge.node].input[edge.slot] = name
    dtype = np.float16 if pair.is_half else np.float32
    factor = numpy_helper.from_array(np.asarray(1 / divisor, dtype), f"{pair.tensor}/factor")
    graph.initializer.append(factor)
    node = onnx.helper.make_node("Mul", [pair.tensor, factor.name], [name], name)
    made = (i for i, n in enumerate(graph.node, start=1) if pair.tensor in n.output)
    graph.node.insert(next(made, 0), node)


def _write(tensor: onnx.TensorProto, array: Array) -> None:
    if tuple(tensor.dims) != array.shape:
        raise ValueError(f"'{tensor.name}' has shape {list(tensor.dims)}, not {list(array.shape)}")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(array, dtype), tensor.name))


def _add_biases(graph: onnx.GraphProto, biases: Mapping[str, Array], constants: Constants) -> None:
    by_name = {node.name: node for _, node in nodes(graph)}
    taken = set(names(graph))
    for name, array in biases.items():
        node = by_name[name]
        if len(node.input) > BIAS_SLOT and node.input[BIAS_SLOT]:
            raise ValueError(f"'{name}' has a bias already")
        bias = _free(f"{node.input[1]}_bias", taken)
        del node.input[BIAS_SLOT:]
        node.input.append(bias)
        dtype = constants.array(node.input[1]).dtype
        graph.initializer.append(numpy_helper.from_array(np.asarray(array, dtype), bias))


def _free(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free
