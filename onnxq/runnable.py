"""What onnxruntime can run: libraries of custom ops, models cut in front of ops that it lacks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import onnx
from onnx import defs

from onnxq.diagnostics import first_line
from onnxq.model.cutting import Cut, cut
from onnxq.model.graph import TensorType, infer_types
from onnxq.model.ops import domain_of
from onnxq.model.scopes import all_nodes
from onnxq.sessions import CPU, Libraries, custom_ops, register, runtime_errors

# What onnxruntime says of an op that it does not know, of one that it has no kernel for, and of one
# whose domain the model does not import.
_UNKNOWN: Final = re.compile(
    r"is not a registered function/op|No Op registered for|Could not find an implementation"
    r"|No opset import for domain"
)
_ANY: Final = re.compile(".")


def libraries(paths: str | Path | Sequence[str | Path]) -> Libraries:
    """Absolute paths of libraries of custom ops that onnxruntime can load (OQ320)."""
    import onnxruntime as ort

    paths = [paths] if isinstance(paths, str | Path) else paths
    options = ort.SessionOptions()
    chosen = {str(Path(path).absolute()): str(path) for path in paths}
    for library, called in chosen.items():
        register(options, library, called=called)
    return tuple(chosen)


def runnable(model: onnx.ModelProto, chosen: Libraries = ()) -> Cut | None:
    """The model less what onnxruntime cannot run; None when it may run all of it.

    Ops that ONNX defines are taken for known: what onnxruntime says of them is OQ305.
    """
    versions = {domain_of(o.domain): o.version for o in model.opset_import}
    bodies = (model.graph.node, *(function.node for function in model.functions))
    called = {(domain_of(f.domain), f.name) for f in model.functions}
    foreign = [
        node
        for body in bodies
        for node in all_nodes(body)
        if not _is_standard(node, versions) and _type(node) not in called
    ]
    if not foreign:
        return None
    types, _ = infer_types(model, {})
    unknown: dict[tuple[str, str], bool] = {}
    for node in foreign:
        if _type(node) not in unknown:
            probe = _alone(node, model, types).SerializeToString(deterministic=True)
            # Of ops that only look like ONNX's, onnxruntime has some without a kernel.
            refusals = _UNKNOWN if domain_of(node.domain) else _ANY
            unknown[_type(node)] = refusals.search(_refusal(probe, chosen)) is not None
    return cut(model, lambda node: unknown.get(_type(node), False))


def _type(node: onnx.NodeProto) -> tuple[str, str]:
    return domain_of(node.domain), node.op_type


def _is_standard(node: onnx.NodeProto, versions: dict[str, int]) -> bool:
    """True for an op that ONNX defines in the version that the model imports, or in any."""
    domain, op = _type(node)
    return domain in versions and defs.has(op, domain)


def _alone(
    node: onnx.NodeProto, model: onnx.ModelProto, types: dict[str, TensorType]
) -> onnx.ModelProto:
    """A model of one node, with inputs of the types that it has in its own model."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    del copy.attribute[:]  # in a function they may be references, which a model cannot have
    copy.attribute.extend(a for a in node.attribute if not a.ref_attr_name)
    stored = {t.name: t.data_type for t in model.graph.initializer}
    kinds = {
        n: types[n].dtype if n in types else stored.get(n, 0) for n in filter(None, node.input)
    }
    graph = onnx.helper.make_graph(
        [copy],
        "alone",
        [
            onnx.helper.make_tensor_value_info(name, kind or onnx.TensorProto.FLOAT, None)
            for name, kind in kinds.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in node.output if name],
    )
    return onnx.helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )


@cache
def _refusal(model: bytes, chosen: Libraries) -> str:
    """What onnxruntime says of a model of one op that it refuses; '' for one that it loads.

    A probe with the wrong types or without its subgraph is refused as well, with other words.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    custom_ops(options, chosen)
    try:
        ort.InferenceSession(model, options, providers=[CPU])
    except runtime_errors() as reason:
        return first_line(reason)
    return ""
