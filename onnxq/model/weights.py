"""Weights that stay in their files: tensors that refer to bytes on the disk.

A reference is ONNX's own external data with the path of the file, resolved, as its location; a
weight that a model file itself holds can be referred to as well. Model protos stay small that way.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from google.protobuf.message import Message
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.external_data_helper import uses_external_data

from onnxq.model.scopes import all_nodes, subgraphs

SMALLEST: Final = 1024  # bytes; what is smaller, such as shapes and scales, is held in the model
_CHUNK: Final = 2**22  # bytes that are copied at once
# Values in a byte, by NumPy type.
_PACKED: Final = {"int4": 2, "uint4": 2, "float4_e2m1fn": 2, "int2": 4, "uint2": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the bytes of a tensor are; offset and length in bytes."""

    file: Path
    offset: int
    length: int


def place(tensor: onnx.TensorProto) -> Place | None:
    """Where a tensor's bytes are; None when the tensor holds them itself."""
    if not uses_external_data(tensor):
        return None
    entries = {e.key: e.value for e in tensor.external_data}
    file, offset = Path(entries["location"]), int(entries.get("offset", 0))
    length = int(entries.get("length") or file.stat().st_size - offset)
    return Place(file=file, offset=offset, length=length)


def missing(model: onnx.ModelProto) -> Iterator[str]:
    """Locations of external data that are not files as seen from the working folder."""
    for tensor in tensors(model):
        if uses_external_data(tensor):
            location = next(e.value for e in tensor.external_data if e.key == "location")
            if not os.path.isfile(location):
                yield location


def refer(tensor: onnx.TensorProto, where: Place) -> None:
    """Let a tensor refer to its bytes instead of holding them, in place."""
    tensor.ClearField("raw_data")
    del tensor.external_data[:]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    values = {"location": where.file, "offset": where.offset, "length": where.length}
    for key, value in values.items():
        tensor.external_data.add(key=key, value=str(value))


def hold(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """Let a tensor hold its bytes itself, in place."""
    if place(tensor) is not None:
        tensor.raw_data = b"".join(chunks(tensor))
        del tensor.external_data[:]
        tensor.ClearField("data_location")
    return tensor


def array(tensor: onnx.TensorProto) -> NDArray[Any]:
    """A tensor's values; a reference gives a read-only map of the file, perhaps not aligned."""
    if (where := place(tensor)) is None:
        return np.asarray(numpy_helper.to_array(tensor))
    if nbytes(tensor) != where.length:  # 4-bit types are packed
        held = onnx.TensorProto()
        held.CopyFrom(tensor)
        return np.asarray(numpy_helper.to_array(hold(held)))
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return np.memmap(where.file, dtype, "r", where.offset, tuple(tensor.dims))


def chunks(tensor: onnx.TensorProto) -> Iterator[bytes]:
    """The bytes of a reference, or of a tensor that holds raw bytes, in chunks of 4 MiB."""
    if (where := place(tensor)) is None:
        yield tensor.raw_data
        return
    with where.file.open("rb") as file:
        file.seek(where.offset)
        for start in range(0, where.length, _CHUNK):
            yield file.read(min(_CHUNK, where.length - start))


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a model: initializers and attributes, also of subgraphs and functions."""
    yield from model.graph.initializer
    for body in (model.graph, *model.functions):
        for node in all_nodes(body.node):
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
            for _, graph in subgraphs(node):
                yield from graph.initializer


def light(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a model without the bytes of the large initializers that it holds.

    Such a tensor keeps its type and its shape. References stay.
    """
    copy = onnx.ModelProto()
    merge(model, copy, but="graph")
    merge(model.graph, copy.graph, but="initializer")
    for tensor in model.graph.initializer:
        merge(tensor, copy.graph.initializer.add(), but="raw_data" if is_large(tensor) else "")
    return copy


def as_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a model with its large initializers as graph inputs, so that onnx.checker takes it."""
    copy = light(model)
    inputs = {i.name for i in copy.graph.input}
    kept = []
    for source, tensor in zip(model.graph.initializer, copy.graph.initializer, strict=True):
        if place(source) is None and not is_large(source):
            kept.append(tensor)
        elif tensor.name not in inputs:
            value = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            copy.graph.input.append(value)
    del copy.graph.initializer[:]
    copy.graph.initializer.extend(kept)
    return copy


def is_large(tensor: onnx.TensorProto) -> bool:
    """True for a tensor that holds its bytes, and at least as many as `SMALLEST`."""
    return bool(tensor.HasField("raw_data") and nbytes(tensor) >= SMALLEST)


def nbytes(tensor: onnx.TensorProto) -> int:
    """Bytes of a tensor's values, by its type and shape; of packed 4-bit types those unpacked."""
    try:
        width = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except KeyError:  # a damaged or a newer model, which onnx.checker reports
        width = 1
    return int(math.prod(tensor.dims) * width)


def file_bytes(tensor: onnx.TensorProto) -> int:
    """Bytes that a tensor's values take in a file, where types of 4 and 2 bits are packed."""
    try:
        name = helper.tensor_dtype_to_np_dtype(tensor.data_type).name
    except KeyError:
        name = ""
    return -(-nbytes(tensor) // _PACKED.get(name, 1))


def merge(source: Message, target: Message, *, but: str) -> None:
    """Copy every field of a message except one."""
    for field in source.DESCRIPTOR.fields:  # not ListFields, which would read the field
        if field.name == but:
            continue
        if field.is_repeated or (source.HasField(field.name) and field.message_type is not None):
            getattr(target, field.name).MergeFrom(getattr(source, field.name))
        elif source.HasField(field.name):
            setattr(target, field.name, getattr(source, field.name))


def size(model: onnx.ModelProto, *, held: bool = False) -> int:
    """Bytes of all tensors of a model, or of those that it holds; ByteSize() would take seconds."""
    return sum(nbytes(t) for t in tensors(model) if not (held and uses_external_data(t)))
