"""Model files: read with clear errors, given unique node names, raised in opset, written whole."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError
from onnx import external_data_helper

from onnxq.diagnostics import error, first_line
from onnxq.files import whole_file

QDQ_OPSET: Final = 13  # the first opset whose QuantizeLinear has `axis`
QDQ_IR_VERSION: Final = 7  # the IR version that came with opset 13

LARGEST: Final = 2**31 - 1  # bytes that protobuf can serialize

PAIR_OPS: Final = frozenset({"QuantizeLinear", "DequantizeLinear"})
_INTEGER_OP: Final = re.compile(
    r"QLinear.*|(Conv|MatMul)Integer.*|DynamicQuantize.*|QGemm|QAttention"
)


def load(path: str | Path) -> onnx.ModelProto:
    """Read an ONNX model with its external data; OQ301 or OQ302 where that is not possible."""
    path = Path(path)
    _require_external_files(path)
    try:
        model = onnx.load(path, format="protobuf")
    except OSError as reason:
        raise _unreadable(path, reason) from None
    except (DecodeError, UnicodeDecodeError, ValueError, onnx.checker.ValidationError) as reason:
        raise _not_onnx(path, str(reason) or "the file cannot be decoded") from None
    if not model.graph.node or not model.opset_import:
        raise _not_onnx(path, "it has no graph")
    return model


def _unreadable(path: Path, reason: OSError) -> Exception:
    said = (reason.strerror or "cannot be read").lower()
    return error("OQ301", f"model '{path}': {said}", fix="give the path of a readable .onnx file")


def _not_onnx(path: Path, reason: str) -> Exception:
    return error(
        "OQ302",
        f"'{path}' is not an ONNX model: {reason.splitlines()[0]}",
        fix="give a file that onnx.checker accepts",
    )


def digest(path: str | Path) -> str:
    """SHA-256 of the model file and of the external data files it names, as hex."""
    path = Path(path)
    try:
        whole = hashlib.sha256(path.read_bytes())
        for data in external_files(path):
            with data.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as reason:
        raise _unreadable(path, reason) from None
    return whole.hexdigest()


def _require_external_files(path: Path) -> None:
    for data in external_files(path):
        if not data.is_file():
            raise error(
                "OQ301",
                f"model '{path}': its data file '{data}' is missing",
                fix="put it where the model names it",
            )


def external_files(path: str | Path) -> list[Path]:
    """Files beside the model that hold its external data (OQ301, OQ302)."""
    path = Path(path)
    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except OSError as reason:
        raise _unreadable(path, reason) from None
    except (DecodeError, UnicodeDecodeError, ValueError) as reason:
        raise _not_onnx(path, str(reason) or "the file cannot be decoded") from None
    locations = {
        entry.value
        for tensor in model.graph.initializer
        if external_data_helper.uses_external_data(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return [path.parent / location for location in sorted(locations)]


def is_pair_op(node: onnx.NodeProto) -> bool:
    """True for QuantizeLinear and DequantizeLinear, of ONNX and of onnxruntime."""
    return node.op_type in PAIR_OPS and node.domain in ("", "ai.onnx", "com.microsoft")


def is_integer_op(node: onnx.NodeProto) -> bool:
    """True for operators that compute with integers, or quantize when the model runs."""
    return _INTEGER_OP.fullmatch(node.op_type) is not None


def refuse_integer_ops(model: onnx.ModelProto, path: str | Path) -> None:
    """Raise OQ530 when the model computes with integers in operators of their own."""
    found = [n for n in model.graph.node if is_integer_op(n)]
    if found:
        raise error(
            "OQ530",
            f"'{path}' computes in integers: {len(found)} nodes such as {found[0].op_type} "
            f"'{found[0].name}', which TensorRT does not know",
            fix="give the float model that it was made from",
        )


def refuse_pairs(model: onnx.ModelProto, path: str | Path) -> None:
    """Raise OQ303 when the model has Q/DQ nodes already."""
    found = [n for n in model.graph.node if is_pair_op(n)]
    if found:
        raise error(
            "OQ303",
            f"'{path}' is quantized already: {len(found)} nodes such as "
            f"{found[0].op_type} '{found[0].name}'",
            fix="--existing keep plans around them, --existing strip takes them out first",
        )


def name_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give every top-level node that has no name, or another node's, a name of its own, in place.

    The new name is made from the op and the first output, so it does not depend on node order.
    """
    taken = {n.name for n in model.graph.node if n.name}
    seen: set[str] = set()
    for node in model.graph.node:
        if not node.name or node.name in seen:
            node.name = _free_name(f"{node.op_type}_{next(filter(None, node.output), '')}", taken)
            taken.add(node.name)
        seen.add(node.name)
    return model


def names(graph: onnx.GraphProto) -> set[str]:
    """Every name that a graph and its subgraphs use, of nodes and of tensors."""
    found = {v.name for v in (*graph.input, *graph.output, *graph.initializer, *graph.value_info)}
    for node in graph.node:
        found |= {node.name, *node.input, *node.output}
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                found |= names(inner)
    return found


def _free_name(name: str, taken: set[str]) -> str:
    free, count = name, 0
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    return free


def opset(model: onnx.ModelProto) -> int:
    """Version of the default operator set that the model imports; 0 when it imports none."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)


def prepare(model: onnx.ModelProto, path: str | Path = "the model") -> onnx.ModelProto:
    """Return the model as every stage sees it: nodes named, at an opset with per-channel Q/DQ.

    The model given gets node names; below opset 13 what is returned is a new one. Raising the opset
    can rename tensors, so plans and statistics must be made of what this returns. Raises OQ304 when
    the opset cannot be raised, OQ307 when the model has over 2 GB.
    """
    if model.ByteSize() > LARGEST:
        raise error(
            "OQ307",
            f"'{path}' has {model.ByteSize() / 1e9:.1f} GB, and over 2 GB cannot be handled yet",
            fix="export it in parts",
        )
    named = name_nodes(model)
    if opset(named) >= QDQ_OPSET:
        return named
    try:
        raised = onnx.version_converter.convert_version(named, QDQ_OPSET)
    except Exception as reason:  # the converter raises bare RuntimeErrors of many kinds
        raise error(
            "OQ304",
            f"'{path}' has opset {opset(named)} and cannot be raised to {QDQ_OPSET}: "
            f"{first_line(reason)}",
            fix="export the model again with opset 13 or newer",
        ) from None
    raised.ir_version = max(raised.ir_version, QDQ_IR_VERSION)
    return name_nodes(restore(raised, named))


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


def save(model: onnx.ModelProto, path: str | Path) -> None:
    """Write a model whole or not at all (OQ501)."""
    with whole_file(path) as part:
        onnx.save(model, part)
