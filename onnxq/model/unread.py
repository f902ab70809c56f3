"""Removal of tensors that nothing reads after an edit, with everything computed only for them."""

from __future__ import annotations

import onnx

from onnxq.model.scopes import read_names, scopes


def drop_unread(graph: onnx.GraphProto, names: set[str]) -> None:
    """Remove those of `names` that nothing reads, and everything computed only for them.

    Changes the graph and the bodies of its If, Loop and Scan in place; names must be unique over
    them. Other tensors that nothing reads stay, and so do inputs of bodies, whose places count.
    """
    outputs = {o.name for o in graph.output}
    while unread := names - read_names(graph.node) - outputs:
        inputs = [i for i in graph.input if i.name not in unread]
        del graph.input[:]
        graph.input.extend(inputs)
        names = set()
        for _, inner in scopes(graph):
            names |= _drop(inner, unread)


def _drop(graph: onnx.GraphProto, unread: set[str]) -> set[str]:
    """Remove tensors from a graph; return the inputs of the removed nodes."""
    for values in (graph.initializer, graph.value_info):
        kept = [v for v in values if v.name not in unread]
        del values[:]
        values.extend(kept)
    sparse = [s for s in graph.sparse_initializer if s.values.name not in unread]
    del graph.sparse_initializer[:]
    graph.sparse_initializer.extend(sparse)
    nodes: list[onnx.NodeProto] = []
    emptied: set[str] = set()
    for node in graph.node:
        if any(node.output) and unread.issuperset(filter(None, node.output)):
            emptied.update(filter(None, node.input))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return emptied
