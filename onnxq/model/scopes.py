"""The graphs inside a model: the bodies of If, Loop and Scan, and names unique over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

import onnx

from onnxq.model.ops import WITH_BODIES, domain_of

Scope = tuple[
    str, ...
]  # from outside in, such as ('loop_1/body', 'if_2/then_branch'); () is the top


def subgraphs(node: onnx.NodeProto) -> Iterator[tuple[str, onnx.GraphProto]]:
    """The graphs among a node's attributes, each with the attribute's name."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.name, attribute.g
        for graph in attribute.graphs:
            yield attribute.name, graph


def bodies(node: onnx.NodeProto) -> Iterator[tuple[str, onnx.GraphProto]]:
    """The subgraphs that onnxq looks into: those of If, Loop and Scan.

    It does not know how another op runs its subgraphs, nor what names in them refer to.
    """
    if has_bodies(node.op_type, node.domain):
        yield from subgraphs(node)


def has_bodies(op: str, domain: str) -> bool:
    """True for If, Loop and Scan."""
    return op in WITH_BODIES and not domain_of(domain)


def all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Nodes and those in their subgraphs at any depth, whatever op has them.

    `nodes` are those of a graph or of a function. A node comes before those in its subgraphs.
    """
    for node in nodes:
        yield node
        for _, graph in subgraphs(node):
            yield from all_nodes(graph.node)


def scopes(graph: onnx.GraphProto, path: Scope = ()) -> Iterator[tuple[Scope, onnx.GraphProto]]:
    """The graph itself and the bodies in it at any depth, each after the graph around it."""
    yield path, graph
    for node in graph.node:
        for attribute, body in bodies(node):
            yield from scopes(body, (*path, f"{node.name}/{attribute}"))


def nodes(graph: onnx.GraphProto, path: Scope = ()) -> Iterator[tuple[Scope, onnx.NodeProto]]:
    """The nodes of a graph and of the bodies in it, in order: a node, then what its bodies hold."""
    for node in graph.node:
        yield path, node
        for attribute, body in bodies(node):
            yield from nodes(body, (*path, f"{node.name}/{attribute}"))


def read_names(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """Names that nodes and those in their subgraphs read, and what the subgraphs give out."""
    names: set[str] = set()
    for node in all_nodes(nodes):
        names.update(node.input)
        names.update(o.name for _, graph in subgraphs(node) for o in graph.output)
    return names


def owner(scope: Scope) -> str:
    """Name of the node whose body a scope is."""
    return scope[-1].rpartition("/")[0]


def defined(graph: onnx.GraphProto) -> Iterator[str]:
    """Names of the values that a graph itself makes, takes or stores."""
    yield from (i.name for i in graph.input)
    yield from (t.name for t in graph.initializer)
    yield from (s.values.name for s in graph.sparse_initializer)
    yield from (name for node in graph.node for name in node.output if name)


def names(graph: onnx.GraphProto) -> set[str]:
    """Every name that a graph and its subgraphs use, of nodes and of tensors."""
    used: set[str] = set()
    inner = (subgraph for node in all_nodes(graph.node) for _, subgraph in subgraphs(node))
    for part in (graph, *inner):
        used.update(
            v.name for v in (*part.input, *part.output, *part.initializer, *part.value_info)
        )
    for node in all_nodes(graph.node):
        used.update((node.name, *node.input, *node.output))
    return used


def free_name(name: str, taken: Set[str]) -> str:
    """The name itself, or the name with the first number that is free."""
    free, count = name, 0
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    return free


def separate_values(graph: onnx.GraphProto) -> None:
    """Rename, in place, the values of bodies that have the name of a value of another scope."""
    if any(True for node in graph.node for _ in bodies(node)):
        _separate(graph, set(defined(graph)), names(graph))


def _separate(graph: onnx.GraphProto, outer: set[str], taken: set[str]) -> None:
    for node in graph.node:
        for _, body in bodies(node):
            own = dict.fromkeys(defined(body))
            instead: dict[str, str] = {}
            for name in own:
                if name in outer:
                    instead[name] = free_name(name, taken)
                    taken.add(instead[name])
            outer.update(instead.get(name, name) for name in own)
            if instead:
                _rename(body, instead)
            _separate(body, outer, taken)


def _rename(graph: onnx.GraphProto, instead: Mapping[str, str]) -> None:
    """Rename values of a graph, also where nodes and subgraphs read them."""
    values = (graph.input, graph.output, graph.initializer, graph.value_info)
    for value in (v for group in values for v in group):
        value.name = instead.get(value.name, value.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = instead.get(sparse.values.name, sparse.values.name)
    for node in graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]
        node.output[:] = [instead.get(name, name) for name in node.output]
        for _, inner in subgraphs(node):
            own = set(defined(inner))
            _rename(inner, {old: new for old, new in instead.items() if old not in own})
