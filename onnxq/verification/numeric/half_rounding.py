"""Models with float16 tensors, changed so that onnxruntime rounds each of these on a CPU.

onnxruntime has few float16 kernels there. It computes the other ops in float32 between Casts that
it inserts. When two such Casts follow each other it removes both: the tensor between the two ops
is then neither rounded nor does it overflow. An Identity has a float16 kernel, but a single one
between float32 kernels becomes float32 too. Two in a row stay (onnxruntime 1.32,
core/optimizer/insert_cast_transformer.cc).
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from onnxq.model.graph import Graph
from onnxq.model.scopes import free_name, names, scopes


def with_rounding(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy with two Identity nodes behind each float16 output of a node.

    The model itself when it has no such output, as far as shape inference knows.
    """
    types = Graph(model)
    outputs = {
        name
        for _, graph in scopes(model.graph)
        for node in graph.node
        for name in node.output
        if name and types.type(name).dtype == TensorProto.FLOAT16
    }
    if not outputs:
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    taken = names(result.graph)
    for _, graph in scopes(result.graph):
        nodes = [n for node in graph.node for n in _rounded(node, outputs, taken)]
        del graph.node[:]
        graph.node.extend(nodes)
    return result


def _rounded(node: onnx.NodeProto, outputs: set[str], taken: set[str]) -> list[onnx.NodeProto]:
    """The node and the Identity nodes that make its float16 outputs under their names."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    identities = []
    for slot, output in enumerate(node.output):
        if output in outputs:
            first, second = (_free(f"{output}_{part}", taken) for part in ("computed", "rounded"))
            copy.output[slot] = first
            identities += [
                helper.make_node("Identity", [source], [target], name=_free(target, taken))
                for source, target in ((first, second), (second, output))
            ]
    return [copy, *identities]


def _free(name: str, taken: set[str]) -> str:
    free = free_name(name, taken)
    taken.add(free)
    return free
