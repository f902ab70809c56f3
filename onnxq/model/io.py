"""Model files: read with clear errors, prepared for every stage, written whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import uses_external_data

from onnxq.diagnostics import error, first_line
from onnxq.files import whole_file
from onnxq.model import weights
from onnxq.model.dimensions import clear_placeholder_names
from onnxq.model.inlining import inline_functions
from onnxq.model.model_file import other_model, read_light, write_external, write_inline
from onnxq.model.ops import domain_of, is_integer_op, type_of
from onnxq.model.pairs import is_pair_op
from onnxq.model.scopes import free_name, nodes, scopes, separate_values

QDQ_OPSET: Final = 13  # the first opset whose QuantizeLinear has `axis`
QDQ_IR_VERSION: Final = 7  # the IR version that came with opset 13

LARGEST: Final = 2**31 - 1  # bytes that protobuf can serialize
HELD: Final = 2**28  # bytes; the weights of a larger model stay in their files
_CHUNK: Final = 2**22  # bytes read at once


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelFile:
    """A model as its file has it, the files of its external data, and the digest of all of them.

    `path` is None for a model that was given as a ModelProto.
    """

    path: Path | None
    proto: onnx.ModelProto
    data_files: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """What messages call the model."""
        return "the model" if self.path is None else str(self.path)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the model file and of its data files, or of a ModelProto's content."""
        if self.path is None:
            return _content_digest(self.proto)
        return _files_digest(self.path, self.data_files)


def read(path: str | Path) -> ModelFile:
    """Read an ONNX model; OQ301 or OQ302 where that is not possible.

    Of a model over 256 MB, data files included, the large weights stay in their files: such tensors
    refer to them (`onnxq.model.weights`), and the files must stay as they are while it is used.
    """
    path = Path(path)
    model = _read(path)
    outside = _outside(path, model)
    files = _data_files(path, outside)
    held = sum(file.stat().st_size for file in (path, *files.values())) <= HELD
    for tensor in outside:
        where = _place(path, tensor, files)
        weights.refer(tensor, where)
        if held or where.length < weights.SMALLEST:
            weights.hold(tensor)
    if not model.graph.node or not model.opset_import:
        raise _not_onnx(path, "it has no graph")
    return ModelFile(path=path, proto=model, data_files=tuple(sorted(set(files.values()))))


def copied(model: onnx.ModelProto) -> ModelFile:
    """A copy of a ModelProto in place of a file: the original is not changed (OQ302)."""
    if not model.graph.node or not model.opset_import:
        raise error(
            "OQ302",
            "the ModelProto is not an ONNX model: it has no graph",
            fix="give a model that onnx.checker accepts",
        )
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return ModelFile(path=None, proto=copy)


def load(path: str | Path) -> onnx.ModelProto:
    """The model of a file, as `read` gives it."""
    return read(path).proto


def _read(path: Path) -> onnx.ModelProto:
    """The model as its file has it, but with references when the file is large (OQ301, OQ302)."""
    try:
        if path.stat().st_size > HELD:
            return read_light(path)
        return onnx.load(path, format="protobuf", load_external_data=False)
    except OSError as reason:
        raise _unreadable(path, reason) from None
    except (DecodeError, UnicodeDecodeError, ValueError) as reason:
        raise _not_onnx(path, str(reason) or "the file cannot be decoded") from None


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
        if not file.is_file():
            raise error(
                "OQ301",
                f"model '{path}': its data file '{file}' is missing",
                fix="put it where the model names it",
            )
        if not any(file.resolve().is_relative_to(folder) for folder in home):
            raise _not_onnx(path, f"its data file '{name}' is outside of its folder")
    return files


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
    return weights.Place(file=file, offset=offset, length=length)


def refuse_integer_ops(model: onnx.ModelProto, path: str | Path) -> None:
    """Raise OQ530 when the model computes with integers in operators of their own."""
    found = [n for _, n in nodes(model.graph) if is_integer_op(type_of(n))]
    if found:
        raise error(
            "OQ530",
            f"'{path}' computes in integers: {len(found)} nodes such as {found[0].op_type} "
            f"'{found[0].name}', which TensorRT does not know",
            fix="give the float model that it was made from",
        )


def refuse_pairs(model: onnx.ModelProto, path: str | Path) -> None:
    """Raise OQ303 when the model has Q/DQ nodes already."""
    found = [n for _, n in nodes(model.graph) if is_pair_op(n)]
    if found:
        raise error(
            "OQ303",
            f"'{path}' is quantized already: {len(found)} nodes such as "
            f"{found[0].op_type} '{found[0].name}'",
            fix="--existing keep plans around them, --existing strip takes them out first",
        )


def name_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give every node that has no name, or another node's, a name of its own, in place.

    The new name is made from the op and the first output, so it does not depend on node order.
    Names are unique over the bodies of If, Loop and Scan too, and so are those of values: in a body
    they get a number where another graph has the name.
    """
    separate_values(model.graph)
    taken = {n.name for _, n in nodes(model.graph) if n.name}
    seen: set[str] = set()
    for node in (n for _, graph in scopes(model.graph) for n in graph.node):
        if not node.name or node.name in seen:
            node.name = free_name(f"{node.op_type}_{next(filter(None, node.output), '')}", taken)
            taken.add(node.name)
        seen.add(node.name)
    return model


def opset(model: onnx.ModelProto) -> int:
    """Version of the default operator set that the model imports; 0 when it imports none."""
    return next((o.version for o in model.opset_import if not domain_of(o.domain)), 0)


def prepare(model: onnx.ModelProto, path: str | Path = "the model") -> onnx.ModelProto:
    """Return the model as every stage sees it: no local functions, nodes named, opset 13 or newer.

    Dimensions called '?' are unnamed.

    The model given is changed, but for its opset: below 13, the first with per-channel Q/DQ, what
    is returned is a new one. Raising the opset can rename tensors, so plans and statistics must be
    made of what this returns. Raises OQ304 when the opset cannot be raised, OQ307 when a model with
    over 2 GB is held in memory, OQ561 when local functions cannot be inlined.
    """
    held = weights.size(model, held=True)
    if held > LARGEST:
        raise error(
            "OQ307",
            f"{path} holds {held / 1e9:.1f} GB in memory, and protobuf takes 2 GB",
            fix="give its path: onnxq.load leaves large weights in their files",
        )
    inlined = clear_placeholder_names(inline_functions(model, path))
    return raised(name_nodes(inlined), QDQ_OPSET, path)


def raised(model: onnx.ModelProto, version: int, path: str | Path = "the model") -> onnx.ModelProto:
    """Return a model with named nodes at an opset of at least `version`; OQ304 when it cannot be.

    It is the model itself where that has the opset already. A higher opset can rename tensors.
    """
    if opset(model) >= version:
        return model
    try:
        higher = onnx.version_converter.convert_version(model, version)
    except Exception as reason:  # the converter raises bare RuntimeErrors of many kinds
        raise error(
            "OQ304",
            f"'{path}' has opset {opset(model)} and cannot be raised to {version}: "
            f"{first_line(reason)}",
            fix=f"export the model again with opset {version} or newer",
        ) from None
    ir_version = onnx.helper.OP_SET_ID_VERSION_MAP.get(("ai.onnx", version), QDQ_IR_VERSION)
    higher.ir_version = max(higher.ir_version, ir_version)
    return name_nodes(restore(higher, model))


def restore(changed: onnx.ModelProto, original: onnx.ModelProto) -> onnx.ModelProto:
    """Give nodes and initializers that kept their name the notes of the original, in place."""
    nodes = {n.name: n for n in original.graph.node}
    for node in changed.graph.node:
        if (before := nodes.get(node.name)) is not None:
            node.doc_string = before.doc_string
            del node.metadata_props[:]
            node.metadata_props.extend(before.metadata_props)
    tensors = {t.name: t for t in original.graph.initializer}
    for tensor in changed.graph.initializer:
        if (initializer := tensors.get(tensor.name)) is not None:
            tensor.doc_string = initializer.doc_string
    return changed


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
        if data.exists():
            path.unlink(missing_ok=True)
    return path, data


def data_path(path: str | Path) -> Path:
    """The file for the large tensors of a model that is written to `path`."""
    path = Path(path)
    return path.with_name(f"{path.name}.data")
