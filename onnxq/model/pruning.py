"""The part of a graph that some outputs need, and what an edit leaves unread; both in place."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import onnx

from onnxq.model.scopes import defined, read_names, scopes


def keep_outputs(graph: onnx.GraphProto, outputs: Collection[str]) -> None:
    """Keep these of a graph's outputs, and only the nodes and constants that they need.

    The inputs stay, so that the samples still fit; so do the notes, types and references of
    everything that stays, and the bodies of If, Loop and Scan as a whole. Nodes may be in any
    order.
    """
    _keep(graph.output, lambda output: output.name in outputs)
    stored = {t.name for t in graph.initializer}
    inputs = {i.name for i in graph.input} - stored
    unread = set(defined(graph)) - _needed(graph) - inputs
    _keep(graph.input, _other_than(unread))
    _drop(graph, unread)


def _needed(graph: onnx.GraphProto) -> set[str]:
    """The outputs of a graph and all tensors that they are computed from."""
    makers = {name: node for node in graph.node for name in node.output if name}
    needed: set[str] = set()
    pending = [output.name for output in graph.output]
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            pending.extend(read_names([makers[name]] if name in makers else []))
    return needed


def drop_unread(graph: onnx.GraphProto, names: set[str]) -> None:
    """Remove those of some tensors that no node reads, and what only they were computed from.

    Changes the graph and the bodies of its If, Loop and Scan in place, over which names are unique.
    Other tensors that no node reads stay. Inputs of bodies stay too, because their position counts.
    """
    outputs = {o.name for o in graph.output}
    while unread := names - read_names(graph.node) - outputs:
        _keep(graph.input, _other_than(unread))
        names = set()
        for _, inner in scopes(graph):
            names |= _drop(inner, unread)


def _drop(graph: onnx.GraphProto, unread: set[str]) -> set[str]:
    """Remove some tensors from one graph; return the inputs of the nodes that made them."""
    _keep(graph.initializer, _other_than(unread))
    _keep(graph.sparse_initializer, lambda sparse: sparse.values.name not in unread)
    _keep(graph.value_info, _other_than(unread))
    emptied: set[str] = set()

    def is_needed(node: onnx.NodeProto) -> bool:
        outputs = set(filter(None, node.output))
        if not outputs or not outputs <= unread:
            return True
        emptied.update(filter(None, node.input))
        return False

    _keep(graph.node, is_needed)
    return emptied


def _keep(values: Any, is_kept: Callable[[Any], bool]) -> None:
    """Filter a repeated field; what stays is not copied, since weights can be large."""
    for place in reversed(range(len(values))):
        if not is_kept(values[place]):
            del values[place]


def _other_than(names: set[str]) -> Callable[[Any], bool]:
    return lambda value: value.name not in names
