"""The inputs of a model, and a sample for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from onnxq.diagnostics import did_you_mean, error
from onnxq.model.graph import Graph, Shape

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """One input of a model; `shape` has None where any size fits.

    With `any_rank` the model says nothing of the shape, which is empty then.
    """

    name: str
    dtype: np.dtype[Any]
    shape: Shape
    any_rank: bool = False

    @property
    def size(self) -> str:
        """The shape in words."""
        return "of any shape" if self.any_rank else shape_text(self.shape) or "scalar"

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} {self.size}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The inputs of one run of the model; `digest` is the SHA-256 (hex) of its content.

    `count` is the number of pictures or rows in it: 1 unless it is a batch, whose samples have the
    digests `parts`. `number` is its place in the whole feed, from 0. `frames` is more than 1 for an
    animation, of which the first frame is used.
    """

    name: str
    tensors: Tensors
    digest: str
    count: int = 1
    number: int = 0
    parts: tuple[str, ...] = ()
    frames: int = 1

    @property
    def digests(self) -> tuple[str, ...]:
        """The digest of each sample in it, whatever the batch."""
        return self.parts or (self.digest,)


def input_specs(graph: Graph, shapes: Mapping[str, Sequence[int]]) -> tuple[InputSpec, ...]:
    """Inputs of the model; a symbolic first dimension is a batch of 1 unless `shapes` has it."""
    for name in shapes:
        if name not in graph.inputs:
            fix = did_you_mean(name, graph.inputs)
            message = f"a shape is given for '{name}', which is not an input of the model"
            raise error("OQ403", message, fix=fix)
    return tuple(_spec(graph, name, shapes.get(name)) for name in graph.inputs)


def _spec(graph: Graph, name: str, shape: Sequence[int] | None) -> InputSpec:
    kind = graph.declared[name]
    declared: Shape = tuple(d if isinstance(d, int) and d > 0 else None for d in kind.shape or ())
    if kind.dtype == 0:
        fix = "onnxq runs models with tensor inputs; give such an export"
        raise error("OQ404", f"the model's input '{name}' is not a tensor of a known type", fix=fix)
    dtype = array_type(kind.dtype)
    if shape is None:
        return InputSpec(name=name, dtype=dtype, shape=declared, any_rank=kind.shape is None)
    fits = len(shape) == len(declared) or kind.shape is None
    if not fits or any(d not in (None, s) for s, d in zip(shape, declared, strict=False)):
        raise error(
            "OQ404",
            f"the shape {shape_text(shape)} does not fit the model's input "
            f"{name}: {shape_text(declared)}",
            fix=f"give {len(declared)} sizes that agree with the model's (--shape)",
        )
    return InputSpec(name=name, dtype=dtype, shape=tuple(shape))


def array_type(number: int) -> np.dtype[Any]:
    """The NumPy type of an input of an ONNX type; float32 for bfloat16 (`model.float_ports`)."""
    stand_in = TensorProto.FLOAT if number == TensorProto.BFLOAT16 else number
    return helper.tensor_dtype_to_np_dtype(stand_in)


def shape_text(shape: Sequence[int | str | None]) -> str:
    """A shape as --shape has it: 1x3x?x?."""
    return "x".join("?" if d is None else str(d) for d in shape)


def shape_example(name: str, shape: Sequence[int | str | None]) -> str:
    """A --shape option that fits: known sizes as they are, 1 for the batch, 640 for pictures."""
    size, channels = (640, 3) if len(shape) == 4 else (128, 128)
    unknown = (1, channels if shape[2:] == (None, None) else size)
    usual = (*unknown, *(size for _ in shape[2:]))
    sizes = (d if isinstance(d, int) and d > 0 else u for d, u in zip(shape, usual, strict=False))
    return f"--shape {name}:{shape_text(tuple(sizes))}"


def sample_digest(tensors: Tensors) -> str:
    """Return the sha256 (hex) of one sample: its tensors' names, types, shapes and values."""
    total = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        total.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        strings = array.dtype.kind == "O"  # whose memory holds addresses
        total.update(repr(array.tolist()).encode() if strings else np.ascontiguousarray(array).data)
    return total.hexdigest()
