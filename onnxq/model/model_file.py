"""Model files without their weights in memory: read with references, written a tensor at a time.

Protobuf libraries hold a message whole, most of them twice, and none above 2 GB. A message is only
a row of fields, each a key, a length and bytes (protobuf.dev/programming-guides/encoding), so the
few fields that hold nearly all bytes of a model are passed over here.
"""

from __future__ import annotations

import difflib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import onnx
from google.protobuf.message import DecodeError

from onnxq.model.weights import SMALLEST, Place, chunks, hold, is_large, light, merge, place, refer
from onnxq.model.weights import tensors as tensors_of

_QDQ: Final = ".qdq.onnx"  # what insert writes ends so
PAGE: Final = 4096  # bytes; the ONNX specification wants data to begin at multiples of it

# Numbers of fields in onnx.proto: ModelProto.graph, GraphProto.initializer, TensorProto.raw_data.
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
_TO_BYTES: Final = (_GRAPH, _INITIALIZER, _RAW_DATA)
_VARINT, _BYTES = 0, 2  # wire types
_FIXED: Final = {1: 8, 5: 4}  # bytes of the other wire types


def read_light(path: Path) -> onnx.ModelProto:
    """Read a model whose large initializers refer to their bytes in the file (DecodeError)."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        model = onnx.ModelProto()
        model.ParseFromString(_without_weights(data, 0, len(data), path.resolve()))
    return model


def _without_weights(data: mmap.mmap, start: int, end: int, file: Path, depth: int = 0) -> bytes:
    """A message without the large fields at the end of _TO_BYTES, which become references."""
    kept = bytearray()
    for number, begin, first, last in _fields(data, start, end):
        if number != _TO_BYTES[depth] or last - first < SMALLEST:
            kept += data[begin:last]
        elif depth < len(_TO_BYTES) - 1:
            inner = _without_weights(data, first, last, file, depth + 1)
            kept += _key(number, len(inner)) + inner
        else:
            reference = onnx.TensorProto()
            refer(reference, Place(file=file, offset=first, length=last - first))
            kept += reference.SerializeToString()
    return bytes(kept)


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number of each field of a message, and where it, its value and the next field begin."""
    while start < end:
        key, first = _read_varint(data, start)
        wire = key & 7
        if wire == _BYTES:
            length, first = _read_varint(data, first)
            last = first + length
        elif wire == _VARINT:
            last = _read_varint(data, first)[1]
        elif wire in _FIXED:
            last = first + _FIXED[wire]
        else:
            raise DecodeError(f"wire type {wire} at byte {start}")
        if last > end:
            raise DecodeError("a field is longer than the message that it is in")
        yield key >> 3, start, first, last
        start = last


def _read_varint(data: mmap.mmap, start: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = 0
    for index, byte in enumerate(data[start : start + 10]):
        value |= (byte & 127) << (7 * index)
        if byte < 128:
            return value, start + index + 1
    raise DecodeError("a number is cut off")


def _key(number: int, length: int) -> bytes:
    """What stands in front of the bytes of a field."""
    return _varint(number << 3 | _BYTES) + _varint(length)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


def write_inline(model: onnx.ModelProto, file: IO[bytes]) -> None:
    """Write a model with all its data as one file, an initializer at a time."""
    head, graph = onnx.ModelProto(), onnx.ModelProto()
    merge(model, head, but="graph")
    merge(model.graph, graph.graph, but="initializer")
    for tensor in (*tensors_of(head), *tensors_of(graph)):
        hold(tensor)
    body = graph.graph.SerializeToString()
    starts = [_tensor_start(tensor) for tensor in model.graph.initializer]
    inside = sum(len(start) + length for start, length in starts)
    file.write(head.SerializeToString() + _key(_GRAPH, len(body) + inside) + body)
    for tensor, (start, length) in zip(model.graph.initializer, starts, strict=True):
        file.write(start)
        if length:
            file.writelines(chunks(tensor))


def _tensor_start(tensor: onnx.TensorProto) -> tuple[bytes, int]:
    """What stands in front of the bytes of an initializer that moves, and how many these are."""
    head, where = onnx.TensorProto(), place(tensor)
    moves = where is not None or is_large(tensor)
    merge(tensor, head, but="raw_data" if moves else "")
    if not moves:
        whole = head.SerializeToString()
        return _key(_INITIALIZER, len(whole)) + whole, 0
    length = len(tensor.raw_data) if where is None else where.length
    del head.external_data[:]
    head.ClearField("data_location")
    start = head.SerializeToString() + _key(_RAW_DATA, length)
    return _key(_INITIALIZER, len(start) + length) + start, length


def write_external(model: onnx.ModelProto, file: IO[bytes], data: IO[bytes], name: str) -> None:
    """Write a model to `file` and its large tensors to `data`, which the model calls `name`."""
    copy = light(model)
    for tensor, written in zip(tensors_of(model), tensors_of(copy), strict=True):
        if place(tensor) is None and not (is_large(tensor) and not is_large(written)):
            continue
        data.write(bytes(-data.tell() % PAGE))
        offset = data.tell()
        data.writelines(chunks(tensor))
        refer(written, Place(file=Path(name), offset=offset, length=data.tell() - offset))
    file.write(copy.SerializeToString())


def other_model(path: Path) -> str:
    """What to give instead: a model beside it with nearly that name, if it is only not there."""
    otherwise = "give the path of a readable .onnx file"
    if os.path.exists(path) or not os.path.isdir(path.parent):
        return otherwise
    ending = _QDQ if path.name.endswith(_QDQ) else ".onnx"
    if ending == _QDQ:
        otherwise = "'onnxq insert' writes a Q/DQ model; give the path of one"
    beside = {p.name.removesuffix(ending): p.name for p in path.parent.glob(f"*{ending}")}
    near = difflib.get_close_matches(path.name.removesuffix(ending), beside, n=1, cutoff=0.65)
    return f"did you mean '{beside[near[0]]}'?" if near else otherwise
