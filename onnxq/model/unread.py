"""What an edit leaves unread in a graph, removed with all that only it was computed from."""

from __future__ import annotations

import onnx


def drop_unread(graph: onnx.GraphProto, names: set[str]) -> None:
    """Remove those of some tensors that nobody reads, and what only they were computed from.

    Changes the graph in place; other tensors that nobody reads stay.
    """
    outputs = {o.name for o in graph.output}
    while unread := names - read(graph) - outputs:
        for values in (graph.initializer, graph.input, graph.value_info):
            kept = [v for v in values if v.name not in unread]
            del values[:]
            values.extend(kept)
        sparse = [s for s in graph.sparse_initializer if s.values.name not in unread]
        del graph.sparse_initializer[:]
        graph.sparse_initializer.extend(sparse)
        nodes: list[onnx.NodeProto] = []
        names = set()
        for node in graph.node:
            if any(node.output) and unread.issuperset(filter(None, node.output)):
                names.update(filter(None, node.input))
            else:
                nodes.append(node)
        del graph.node[:]
        graph.node.extend(nodes)


def read(graph: onnx.GraphProto) -> set[str]:
    """Names that the nodes of a graph and of its subgraphs read."""
    found: set[str] = set()
    for node in graph.node:
        found.update(node.input)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                found |= read(inner)
                found.update(o.name for o in inner.output)
    return found
