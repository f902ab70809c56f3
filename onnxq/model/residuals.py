"""Sums of what a block reads and of what its convolutions make of it: residual connections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from onnxq.model.graph import Graph, Node
from onnxq.model.ops import ELEMENTWISE, traits
from onnxq.model.pairs import PAIR_TYPES

SUMS: Final = frozenset({"Add", "Sum"})
_COPIES: Final = frozenset({"Dropout", "Identity"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """The inputs of a sum: the one that goes round the convolutions, and the one that they make."""

    skip: int
    main: int


def identity(graph: Graph, node: Node) -> Residual | None:
    """The residual connection that a sum closes; None for any other node.

    The sum has two computed inputs. One is made by convolutions and by ops on single values behind
    them, such as activations and gates, out of the other one, which a convolution reads.
    """
    return next(
        (
            sides
            for sides in sides_of(graph, node)
            if _is_read_by_convolution(graph, source := _copied(graph, node.inputs[sides.skip]))
            and is_computed_from(graph, node.inputs[sides.main], source)
        ),
        None,
    )


def projection(graph: Graph, node: Node) -> Residual | None:
    """The residual connection with a convolution of its own; None for any other node.

    Both inputs of the sum are made by convolutions, on the shortcut by just one, and both come from
    the same tensor, on the shortcut perhaps behind an AveragePool.
    """
    for sides in sides_of(graph, node):
        skip, main = node.inputs[sides.skip], node.inputs[sides.main]
        start = _start_of_shortcut(graph, skip)
        if start and is_computed_from(graph, main, start) and not _joins(graph, main, skip):
            makers = _last_convolutions(graph, main) or ()
            if not any(start in _behind_pool(graph, maker.inputs[0]) for maker in makers):
                return sides
    return None


def sides_of(graph: Graph, node: Node) -> Iterator[Residual]:
    """The ways to see a sum as a residual connection: the main side comes from convolutions."""
    if node.type not in SUMS or len(node.inputs) != 2 or node.inputs[0] == node.inputs[1]:
        return
    if any(graph.is_constant(t) for t in node.inputs) or _is_broadcast(graph, node):
        return
    for skip, main in ((0, 1), (1, 0)):
        if comes_from_convolutions(graph, node.inputs[main]):
            yield Residual(skip=skip, main=main)


def _joins(graph: Graph, main: str, skip: str) -> bool:
    """True when one side of a sum is computed from the other one."""
    return is_computed_from(graph, main, skip) or is_computed_from(graph, skip, main)


def _is_broadcast(graph: Graph, node: Node) -> bool:
    """True when the shapes of both inputs are known to differ."""
    first, second = (graph.type(t).shape for t in node.inputs)
    if first is None or second is None:
        return False
    sizes = zip(first, second, strict=False)
    return len(first) != len(second) or any(
        a != b for a, b in sizes if isinstance(a, int) and isinstance(b, int)
    )


def comes_from_convolutions(graph: Graph, tensor: str) -> bool:
    """True for the result of a convolution, also behind ops on single values and pairs."""
    return bool(_last_convolutions(graph, tensor))


def is_computed_from(graph: Graph, tensor: str, source: str) -> bool:
    """True when a tensor depends on another one."""
    maker = graph.producer(source)
    first = -1 if maker is None else graph.order(maker)
    waiting, visited = [tensor], {tensor}
    while waiting:
        current = waiting.pop()
        if current == source:
            return True
        node = graph.producer(current)
        if node is not None and graph.order(node) > first:
            waiting.extend(t for t in node.inputs if t and t not in visited)
            visited.update(node.inputs)
    return False


def _last_convolutions(graph: Graph, tensor: str) -> tuple[Node, ...] | None:
    """The convolutions that a tensor is made of by ops on single values; None if of others too."""
    convolutions: dict[str, Node] = {}
    waiting, visited = [tensor], {tensor}
    while waiting:
        node = graph.producer(waiting.pop())
        if node is None or not node.inputs:
            return None
        if traits(node).is_convolution:
            convolutions[node.name] = node
        elif traits(node).largest == "one":  # a gate, whatever makes it
            continue
        elif node.type in ELEMENTWISE or node.type in PAIR_TYPES:
            data = node.inputs[:1] if node.type in PAIR_TYPES else node.inputs
            new = [t for t in data if t and t not in visited and not graph.is_constant(t)]
            waiting.extend(new)
            visited.update(new)
        else:
            return None
    return tuple(convolutions.values())


def _is_read_by_convolution(graph: Graph, tensor: str) -> bool:
    for edge in graph.consumers(tensor):
        node = graph.by_name[edge.node]
        if edge.slot == 0 and traits(node).is_convolution:
            return True
        if node.type in _COPIES and _is_read_by_convolution(graph, node.outputs[0]):
            return True
    return False


def _copied(graph: Graph, tensor: str) -> str:
    """The tensor that ops without any effect pass on."""
    while (node := graph.producer(tensor)) is not None and node.type in _COPIES:
        tensor = node.inputs[0]
    return tensor


def _start_of_shortcut(graph: Graph, tensor: str) -> str:
    """What the only convolution of a shortcut reads; '' where there are none or several."""
    makers = _last_convolutions(graph, tensor) or ()
    return _behind_pool(graph, makers[0].inputs[0])[-1] if len(makers) == 1 else ""


def _behind_pool(graph: Graph, tensor: str) -> tuple[str, ...]:
    """A tensor, and what it is the average of."""
    node = graph.producer(tensor)
    is_pool = node is not None and node.type == "AveragePool"
    return (tensor, node.inputs[0]) if is_pool and node is not None else (tensor,)
