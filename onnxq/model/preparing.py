"""Models prepared for every stage: functions inlined, nodes named, the opset raised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import onnx
from onnx import defs

from onnxq.diagnostics import error, first_line
from onnxq.model import weights
from onnxq.model.dimensions import clear_placeholder_names
from onnxq.model.inlining import inline_functions
from onnxq.model.io import LARGEST
from onnxq.model.ops import domain_of, is_integer_op, type_of
from onnxq.model.pairs import is_pair_op
from onnxq.model.scopes import free_name, nodes, scopes, separate_values

QDQ_OPSET: Final = 13  # the first opset whose QuantizeLinear has `axis`
NEWEST_OPSET: Final = 25  # that TensorRT 11 takes; onnxruntime 1.32 has no Q/DQ of opset 28
QDQ_IR_VERSION: Final = 7  # the IR version that came with opset 13
_FREE_INITIALIZERS: Final = 4  # the first IR version whose initializers need not be inputs
_APART: Final = "onnxq.apart"  # a domain for what the version converter must not look at


def refuse_integer_ops(model: onnx.ModelProto, path: str | Path) -> None:
    """Raise OQ530 when the model computes with integers in operators of their own."""
    integer = [n for _, n in nodes(model.graph) if is_integer_op(type_of(n))]
    if integer:
        raise error(
            "OQ530",
            f"'{path}' computes in integers: {len(integer)} nodes such as {integer[0].op_type} "
            f"'{integer[0].name}', which TensorRT does not know",
            fix="give the float model that it was made from",
        )


def refuse_pairs(model: onnx.ModelProto, path: str | Path) -> None:
    """Raise OQ303 when the model has Q/DQ nodes already."""
    pairs = [n for _, n in nodes(model.graph) if is_pair_op(n)]
    if pairs:
        raise error(
            "OQ303",
            f"'{path}' is quantized already: {len(pairs)} nodes such as "
            f"{pairs[0].op_type} '{pairs[0].name}'",
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
    """Return the model as every stage sees it: no local functions, nodes named, opset 13 to 25.

    Dimensions called '?' are unnamed.

    The model given is changed, but for its opset: below 13, the first with per-channel Q/DQ, and
    above 25, the newest of TensorRT, what is returned is a new one. Another opset can rename
    tensors, so plans and statistics must be made of what this returns. Raises OQ304 when the opset
    cannot be raised, OQ310 when it cannot be lowered, OQ307 when a model with over 2 GB is held in
    memory, OQ561 when local functions cannot be inlined.
    """
    held = weights.size(model, held=True)
    if held > LARGEST:
        raise error(
            "OQ307",
            f"{path} holds {held / 1e9:.1f} GB in memory, and protobuf takes 2 GB",
            fix="give its path: onnxq.load leaves large weights in their files",
        )
    inlined = clear_placeholder_names(inline_functions(model, path))
    if inlined.ir_version < _FREE_INITIALIZERS:  # scales would have to be inputs too
        inlined.ir_version = QDQ_IR_VERSION
    return _lowered(raised(name_nodes(inlined), QDQ_OPSET, path), path)


def raised(model: onnx.ModelProto, version: int, path: str | Path = "the model") -> onnx.ModelProto:
    """Return a model with named nodes at an opset of at least `version`; OQ304 when it cannot be.

    It is the model itself where that has the opset already. A higher opset can rename tensors.
    """
    if opset(model) >= version:
        return model
    try:
        higher = _converted(model, version)
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


def _lowered(model: onnx.ModelProto, path: str | Path) -> onnx.ModelProto:
    """The model at the newest opset that TensorRT takes, itself where it is not newer (OQ310)."""
    if opset(model) <= NEWEST_OPSET:
        return model
    try:
        lower = _converted(model, NEWEST_OPSET)
    except Exception as reason:  # as above
        raise error(
            "OQ310",
            f"'{path}' has opset {opset(model)}, TensorRT takes up to {NEWEST_OPSET}, and the "
            f"model cannot be lowered: {first_line(reason)}",
            fix=f"export the model again with opset {NEWEST_OPSET} or older",
        ) from None
    most = onnx.helper.OP_SET_ID_VERSION_MAP[("ai.onnx", NEWEST_OPSET)]
    lower.ir_version = min(lower.ir_version, most)
    return name_nodes(restore(lower, model))


def _converted(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """What the version converter makes of a model; plugins in ONNX's own domain stay as they are.

    The converter leaves alone what is of another domain, and refuses what ONNX does not define.
    """
    if not any(True for _ in _plugins_of(model.graph)):
        return onnx.version_converter.convert_version(model, version)
    apart = onnx.ModelProto()
    apart.CopyFrom(model)
    apart.opset_import.add(domain=_APART, version=1)
    for node in list(_plugins_of(apart.graph)):
        node.domain = _APART
    higher = onnx.version_converter.convert_version(apart, version)
    for _, node in nodes(higher.graph):
        if node.domain == _APART:
            node.domain = ""
    imports = [o for o in higher.opset_import if o.domain != _APART]
    del higher.opset_import[:]
    higher.opset_import.extend(imports)
    return higher


def _plugins_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    return (n for _, n in nodes(graph) if not domain_of(n.domain) and not defs.has(n.op_type))


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
