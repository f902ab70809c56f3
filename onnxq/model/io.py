"""Model files: read with clear errors, and written whole."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError, Message
from onnx.external_data_helper import uses_external_data

from onnxq.diagnostics import error
from onnxq.files import whole_file
from onnxq.model import weights
from onnxq.model.model_file import other_model, read_light, write_external, write_inline

LARGEST: Final = 2**31 - 1  # bytes that protobuf can serialize
_WIDEST: Final = 8  # bytes of a value that protobuf may write as one byte
HELD: Final = 2**28  # bytes; the weights of a larger model stay in their files
_CHUNK: Final = 2**22  # bytes read at once


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelFile:
    """A model as its file has it, the files of its external data, and the digest of all of them.

    `path` is None for a model that was given as a ModelProto. Relative paths are from `folder`.
    """

    path: Path | None
    proto: onnx.ModelProto
    data_files: tuple[Path, ...] = ()
    folder: Path = field(default_factory=Path.cwd)

    @property
    def name(self) -> str:
        """What messages call the model."""
        return "the model" if self.path is None else str(self.path)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that were read; they must not be overwritten."""
        paths = () if self.path is None else (self.path, *self.data_files)
        return tuple(self.folder / path for path in paths)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the model file and of its data files, or of a ModelProto's content."""
        if self.path is None:
            return _content_digest(self.proto)
        files = [self.folder / file for file in self.data_files]
        return _files_digest(self.folder / self.path, files)


def read(path: str | Path) -> ModelFile:
    """Read an ONNX model; OQ301 or OQ302 where that is not possible.

    Of a model over 256 MB, data files included, the large weights stay in their files: such tensors
    refer to them (`onnxq.model.weights`), and the files must stay as they are while it is used.
    """
    path = Path(path)
    model = _read(path)
    outside = _outside(path, model)
    _require_whole(path, model)
    files = _data_files(path, outside)
    held = sum(file.stat().st_size for file in (path, *files.values())) <= HELD
    for tensor in outside:
        where = _place(path, tensor, files)
        weights.refer(tensor, where)
        if held or where.length < weights.SMALLEST:
            weights.hold(tensor)
    if problem := _unusable(model):
        raise error("OQ302", f"'{path}' {problem}", fix="export the model again")
    return ModelFile(path=path, proto=model, data_files=tuple(sorted(set(files.values()))))


def copied(model: onnx.ModelProto) -> ModelFile:
    """A copy of a ModelProto in place of a file: the original is not changed (OQ302)."""
    if problem := _unusable(model):
        raise error("OQ302", f"the ModelProto {problem}", fix="export the model again")
    if missing := sorted(weights.missing(model)):
        raise error(
            "OQ302",
            f"the ModelProto has external data in '{missing[0]}', which does not exist here",
            fix="give the path of the model, or load it with its external data",
        )
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return ModelFile(path=None, proto=copy)


def load(path: str | Path) -> onnx.ModelProto:
    """The model of a file, as `read` gives it."""
    return read(path).proto


def _unusable(model: onnx.ModelProto) -> str:
    """What is wrong with a model that has nothing to compute, or ''."""
    if not model.HasField("graph"):
        return "is not an ONNX model: it has no graph"
    if not model.opset_import:
        return "is not an ONNX model: it does not say its opset"
    if not _is_text(model):
        return "is not an ONNX model: it has a name that is not UTF-8"
    names = Counter(tensor.name for tensor in model.graph.initializer)
    if twice := [name for name, count in names.items() if count > 1]:
        return f"is not an ONNX model: it has two initializers named '{twice[0]}'"
    numbers = {t.name: t.data_type for t in model.graph.initializer}
    numbers |= {i.name: i.type.tensor_type.elem_type for i in model.graph.input}
    known = onnx.TensorProto.DataType.values()
    if unknown := [name for name, number in numbers.items() if number not in known]:
        number = numbers[unknown[0]]
        return f"cannot be used: '{unknown[0]}' has the type {number}, which onnx does not define"
    if not model.graph.node:
        return "computes nothing: its graph has no nodes"
    return "" if model.graph.output else "computes nothing: its graph has no outputs"


def _read(path: Path) -> onnx.ModelProto:
    """The model as its file has it, but with references when the file is large (OQ301, OQ302)."""
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        message = f"model '{path}' is not a regular file"  # such as a pipe, which may never end
        raise error("OQ301", message, fix="write it to a file first")
    try:
        if path.stat().st_size > HELD:
            return read_light(path)
        return onnx.load(path, format="protobuf", load_external_data=False)
    except OSError as reason:
        raise _unreadable(path, reason) from None
    except (DecodeError, UnicodeDecodeError, ValueError) as reason:
        raise _not_onnx(path, str(reason) or "the file cannot be decoded") from None


def _is_text(message: Message) -> bool:
    """Whether all texts of a message are UTF-8; protobuf gives those that are not as bytes.

    The values of tensors, which may be large, are not read.
    """
    if isinstance(message, onnx.TensorProto):
        texts: tuple[object, ...] = message.name, message.doc_string
        return all(isinstance(t, str) for t in texts) and all(map(_is_text, message.external_data))
    for entry, value in message.ListFields():
        values = value if entry.is_repeated else (value,)
        if entry.message_type is not None:
            if not all(map(_is_text, values)):
                return False
        elif entry.type == entry.TYPE_STRING and not all(isinstance(v, str) for v in values):
            return False
    return True


def _unreadable(path: Path, reason: OSError) -> Exception:
    said = (reason.strerror or "cannot be read").lower()
    return error("OQ301", f"model '{path}': {said}", fix=other_model(path))


def _not_onnx(path: Path, reason: str) -> Exception:
    return error(
        "OQ302",
        f"'{path}' is not an ONNX model: {reason.splitlines()[0]}",
        fix="give a file that onnx.checker accepts",
    )


def digest(path: str | Path) -> str:
    """SHA-256 of the model file and of the external data files it names, as hex."""
    path = Path(path)
    return _files_digest(path, external_files(path))


def _files_digest(path: Path, data_files: Iterable[Path]) -> str:
    whole = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                whole.update(chunk)
        for data in data_files:
            with data.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as reason:
        raise _unreadable(path, reason) from None
    return whole.hexdigest()


def _content_digest(model: onnx.ModelProto) -> str:
    whole = hashlib.sha256(weights.light(model).SerializeToString(deterministic=True))
    for tensor in model.graph.initializer:
        if weights.is_large(tensor) or weights.place(tensor) is not None:
            for chunk in weights.chunks(tensor):
                whole.update(chunk)
    return whole.hexdigest()


def external_files(path: str | Path) -> list[Path]:
    """Files beside the model that hold its external data (OQ301, OQ302)."""
    path = Path(path)
    return sorted(set(_data_files(path, _outside(path, _read(path))).values()))


def _outside(path: Path, model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """The tensors whose data the model file does not hold."""
    own = str(path.resolve())
    return [t for t in weights.tensors(model) if uses_external_data(t) and _named(t) != own]


def _named(tensor: onnx.TensorProto) -> str:
    """The file that a tensor names."""
    return next((e.value for e in tensor.external_data if e.key == "location"), "")


def _data_files(path: Path, tensors: list[onnx.TensorProto]) -> dict[str, Path]:
    """The files that tensors of a model name, by the name; they must be in its folder.

    A link may lead out of it to where the model's own link leads, as download caches have it.
    """
    home = (path.parent.resolve(), path.resolve().parent)
    files = {name: path.parent / name for name in sorted({_named(t) for t in tensors})}
    for name, file in files.items():
        if not os.path.isfile(file):
            raise error(
                "OQ301",
                f"model '{path}': its data file '{file}' is missing",
                fix="put it where the model names it",
            )
        if not any(file.resolve().is_relative_to(folder) for folder in home):
            raise _not_onnx(path, f"its data file '{name}' is outside of its folder")
    return files


def _require_whole(path: Path, model: onnx.ModelProto) -> None:
    """OQ302 for a tensor whose shape needs more bytes than its file can have."""
    limit = _WIDEST * path.stat().st_size
    for tensor in weights.tensors(model):
        if not uses_external_data(tensor) and weights.nbytes(tensor) > limit:
            raise _not_onnx(path, f"the data of '{tensor.name}' is not all in the file")


def _place(path: Path, tensor: onnx.TensorProto, files: dict[str, Path]) -> weights.Place:
    """Where the data of a tensor is, once it is sure that it is there (OQ302)."""
    file = files[_named(tensor)].resolve()
    entries = {e.key: e.value for e in tensor.external_data}
    try:
        offset = int(entries.get("offset") or 0)
        length = int(entries.get("length") or file.stat().st_size - offset)
    except ValueError:
        offset = length = -1
    if min(offset, length) < 0 or offset + length > file.stat().st_size:
        raise _not_onnx(path, f"the data of '{tensor.name}' is not all in '{file.name}'")
    if (wanted := weights.file_bytes(tensor)) != length:
        sizes = f"has {length:,} bytes in '{file.name}', and its type and shape need {wanted:,}"
        raise _not_onnx(path, f"'{tensor.name}' {sizes}")
    return weights.Place(file=file, offset=offset, length=length)


def save(model: onnx.ModelProto, path: str | Path, *, external: bool = False) -> tuple[Path, ...]:
    """Write a model whole or not at all (OQ501); return the files, the model's first.

    Tensors that refer to a file are written with what they refer to.

    With `external`, and always above 2 GB, large tensors go to a file beside it (`data_path`). An
    older model of this name is removed before its data is replaced: it would read the new data.
    """
    path, data = Path(path), data_path(path)
    external = external and any(
        weights.nbytes(t) >= weights.SMALLEST for t in model.graph.initializer
    )
    if not external and weights.size(model) <= LARGEST:
        with whole_file(path) as part, part.open("wb") as file:
            write_inline(model, file)
        return (path,)
    with whole_file(path) as part, whole_file(data) as data_part:
        with part.open("wb") as file, data_part.open("wb") as data_file:
            write_external(model, file, data_file, data.name)
        if os.path.exists(data):
            path.unlink(missing_ok=True)
    return path, data


def data_path(path: str | Path) -> Path:
    """The file for the large tensors of a model that is written to `path`."""
    path = Path(path)
    return path.with_name(f"{path.name}.data")
