"""The graphs inside a model: the bodies of If, Loop and Scan, and names unique over all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Final

import onnx

Scope = tuple[
    str, ...
]  # from outside in, such as ('loop_1/body', 'if_2/then_branch'); () is the top

_WITH_BODIES: Final = frozenset({"If", "Loop", "Scan"})


def subgraphs(node: onnx.NodeProto) -> Iterator[tuple[str, onnx.GraphProto]]:
    """The graphs among a node's attributes, each with the attribute's name."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.name, attribute.g
        for graph in attribute.graphs:
            yield attribute.name, graph


def bodies(node: onnx.NodeProto) -> Iterator[tuple[str, onnx.GraphProto]]:
    """The subgraphs that onnxq looks into: those of If, Loop and Scan.

    What another op does with its subgraphs, and what their names mean to it, is not known.
    """
    if has_bodies(node.op_type, node.domain):
        yield from subgraphs(node)


def has_bodies(op: str, domain: str) -> bool:
    """True for If, Loop and Scan."""
    return op in _WITH_BODIES and domain in ("", "ai.onnx")


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
    found = {v.name for v in (*graph.input, *graph.output, *graph.initializer, *graph.value_info)}
    for node in graph.node:
        found |= {node.name, *node.input, *node.output}
        for _, inner in subgraphs(node):
            found |= names(inner)
    return found


def free_name(name: str, taken: Set[str]) -> str:
    """The name itself, or with the first number that makes it one that is not taken."""
    free, count = name, 0
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    return free


def separate_values(graph: onnx.GraphProto) -> None:
    """Rename, in place, the values of bodies that have the name of a value of another scope."""
    if any(True for node in graph.node for _ in bodies(node)):
        _separate(graph, set(defined(graph)), names(graph))


def _separate(graph: onnx.GraphProto, seen: set[str], taken: set[str]) -> None:
    for node in graph.node:
        for _, body in bodies(node):
            own = dict.fromkeys(defined(body))
            instead: dict[str, str] = {}
            for name in own:
                if name in seen:
                    instead[name] = free_name(name, taken)
                    taken.add(instead[name])
            seen.update(instead.get(name, name) for name in own)
            if instead:
                _rename(body, instead)
            _separate(body, seen, taken)


def _rename(graph: onnx.GraphProto, instead: Mapping[str, str]) -> None:
    """Give values of a graph other names, where they are made and wherever they are read."""
    values = (graph.input, graph.output, graph.initializer, graph.value_info)
    for value in (v for some in values for v in some):
        value.name = instead.get(value.name, value.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = instead.get(sparse.values.name, sparse.values.name)
    for node in graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]
        node.output[:] = [instead.get(name, name) for name in node.output]
        for _, inner in subgraphs(node):
            own = set(defined(inner))
            _rename(inner, {old: new for old, new in instead.items() if old not in own})
