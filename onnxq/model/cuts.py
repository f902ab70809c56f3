"""Products whose result is cut into parts that are only moved, such as fused queries and keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from onnxq.model.graph import Edge, Graph, Node
from onnxq.model.node_inputs import crossed
from onnxq.model.ops import traits

_CUTS: Final = frozenset({"Gather", "GatherElements", "GatherND", "Slice", "Split"})
_MEASURES: Final = frozenset({"Shape", "Size"})  # they read no values
_LAYERS: Final = frozenset({"Einsum", "Gemm", "MatMul"})  # a Conv is INT8 in front of any cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a tensor, as the last of the ops that cut and move it makes it."""

    tensor: str
    path: tuple[Node, ...]

    @property
    def behind_cut(self) -> tuple[Node, ...]:
        """The ops from the first cut on; () where none cuts."""
        places = [index for index, node in enumerate(self.path) if node.type in _CUTS]
        return self.path[places[0] :] if places else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A tensor that is cut: who reads it to do so, and its parts, two or more."""

    tensor: str
    edges: tuple[Edge, ...]
    parts: tuple[Part, ...]


def cut_behind(graph: Graph, node: Node) -> Cut | None:
    """The cut of the result of a matrix product, or of the Add of its bias; None for no cut."""
    result = node.outputs[0] if node.outputs else ""
    if not (_is_layer(node) or _adds_bias(graph, node)):
        return None
    parts = tuple(_parts(graph, result, ()))
    if len(parts) < 2 or not all(part.behind_cut for part in parts):
        return None
    edges = tuple(e for e in graph.consumers(result) if _moves(graph, e))
    return Cut(tensor=result, edges=edges, parts=parts)


def cut_of_product(graph: Graph, node: Node) -> Cut | None:
    """The cut of the result of a matrix product, also behind the Add of a bias; None for no cut."""
    readers = graph.consumers(node.outputs[0])
    if len(readers) == 1 and _adds_bias(graph, graph.by_name[readers[0].node]):
        node = graph.by_name[readers[0].node]
    return cut_behind(graph, node)


def computes_parts(graph: Graph, cut: Cut, is_joined: Callable[[str], bool]) -> bool:
    """True for the cuts in front of which TensorRT-RTX 1.7 computes the product in float.

    It computes the parts by weights of their own instead, which it dequantizes to cut them. It does
    so for three parts of one size that are split into heads behind the cut, and for parts that lie
    behind each other after a Transpose, where two or more enter a product of two activations, as
    `is_joined` says of the tensor of a part.
    """
    return become_heads(graph, cut) or (
        _lie_behind_each_other(graph, cut) and sum(is_joined(p.tensor) for p in cut.parts) > 1
    )


def become_heads(graph: Graph, cut: Cut) -> bool:
    """True for three parts of one size that are split into heads behind the cut."""
    sizes = {_size(graph, part.tensor) for part in cut.parts}
    if len(cut.parts) != 3 or len(sizes) != 1:
        return False
    return all(
        any(n.type == "Transpose" for n in part.behind_cut)
        and any(n.type == "Reshape" for n in part.path)
        for part in cut.parts
    )


def _lie_behind_each_other(graph: Graph, cut: Cut) -> bool:
    return all(
        any(n.type == "Transpose" for n in part.path[: -len(part.behind_cut)])
        and _axis(graph, part.behind_cut[0]) == 0
        for part in cut.parts
    )


def _axis(graph: Graph, node: Node) -> int | None:
    """The axis on which a node cuts; None where there is not one."""
    if node.type != "Slice":
        return int(node.attributes.get("axis", 0))
    axes = node.inputs[3] if len(node.inputs) > 3 else ""
    if not axes or not graph.is_constant(axes):
        return None
    values = graph.array(axes).ravel()
    return int(values[0]) if values.size == 1 else None


def _size(graph: Graph, tensor: str) -> tuple[Any, ...] | None:
    """The sizes of a tensor in any order."""
    shape = graph.type(tensor).shape
    return None if shape is None else tuple(sorted(map(str, shape)))


def _is_layer(node: Node) -> bool:
    return node.type in _LAYERS and traits(node).weighted


def _adds_bias(graph: Graph, node: Node) -> bool:
    if node.type != "Add" or len(node.inputs) != 2:
        return False
    makers = [graph.producer(t) for t in node.inputs if not graph.is_constant(t)]
    return len(makers) == 1 and makers[0] is not None and _is_layer(makers[0])


def _moves(graph: Graph, edge: Edge) -> bool:
    node = graph.by_name[edge.node]
    return edge.slot == 0 and traits(node).moves and bool(crossed(graph, node))


def _parts(graph: Graph, tensor: str, path: tuple[Node, ...]) -> Iterator[Part]:
    edges = [e for e in graph.consumers(tensor) if graph.by_name[e.node].type not in _MEASURES]
    movers = [graph.by_name[e.node] for e in edges if _moves(graph, e)]
    if path and (len(movers) < len(edges) or tensor in graph.given_out):
        yield Part(tensor=tensor, path=path)
    for node in movers:
        for out in filter(None, node.outputs):
            yield from _parts(graph, out, (*path, node))
