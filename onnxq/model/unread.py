"""What an edit leaves unread in a graph, removed with all that only it was computed from."""

from __future__ import annotations

import onnx

from onnxq.model.scopes import scopes, subgraphs


def drop_unread(graph: onnx.GraphProto, names: set[str]) -> None:
    """Remove those of some tensors that nobody reads, and what only they were computed from.

    Changes the graph and the bodies of its If, Loop and Scan in place, over which names are unique;
    other tensors that nobody reads stay. What a body takes in stays too, for its place counts.
    """
    outputs = {o.name for o in graph.output}
    while unread := names - read(graph) - outputs:
        inputs = [i for i in graph.input if i.name not in unread]
        del graph.input[:]
        graph.input.extend(inputs)
        names = set()
        for _, inner in scopes(graph):
            names |= _drop(inner, unread)


def _drop(graph: onnx.GraphProto, unread: set[str]) -> set[str]:
    """Remove some tensors from one graph; return what their makers read."""
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


def read(graph: onnx.GraphProto) -> set[str]:
    """Names that the nodes of a graph and of its subgraphs read."""
    return set().union(*map(read_by, graph.node))


def read_by(node: onnx.NodeProto) -> set[str]:
    """Names that a node and its subgraphs read."""
    names = set(node.input)
    for _, inner in subgraphs(node):
        names |= read(inner)
        names.update(o.name for o in inner.output)
    return names
