"""Ports of a rule -> the places in the graph that they mean at one match."""

from __future__ import annotations

from onnxq.model import node_inputs
from onnxq.model.graph import Edge, Graph, Node
from onnxq.planning.selectors import Binding


class Sites:
    """What ports mean on one graph; an answer that needs no binding is worked out once."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._edges: dict[tuple[str, str], tuple[Edge, ...] | None] = {}

    def edges(self, node: Node, binding: Binding, port: str) -> tuple[Edge, ...] | None:
        """Uses of tensors that a port decides; None when the node has no such input or output."""
        if port in binding:
            return binding[port].edges
        key = (node.name, port)
        if key not in self._edges:
            self._edges[key] = self._edges_of(node, port)
        return self._edges[key]

    def tensors(self, node: Node, binding: Binding, port: str) -> tuple[str, ...] | None:
        """Tensors that a port means; None when the node has no such input or output."""
        if port in binding:
            return binding[port].tensors
        if port.startswith("output"):
            return _outputs(node, port)
        edges = self.edges(node, binding, port)
        return None if edges is None else tuple(node.inputs[e.slot] for e in edges)

    def _edges_of(self, node: Node, port: str) -> tuple[Edge, ...] | None:
        if port.startswith("output"):
            outputs = _outputs(node, port)
            consumers = self._graph.consumers
            return None if outputs is None else tuple(e for t in outputs for e in consumers(t))
        slots = self._slots(node, port)
        return None if slots is None else tuple(Edge(node=node.name, slot=s) for s in slots)

    def _slots(self, node: Node, port: str) -> tuple[int, ...] | None:
        match port:
            case "inputs":
                return node_inputs.activation_slots(self._graph, node)
            case "weights":
                return node_inputs.weight_slots(self._graph, node)
            case "all":
                return node_inputs.data_slots(self._graph, node)
        index = _index(port)
        return (index,) if index < len(node.inputs) and node.inputs[index] else None


def _outputs(node: Node, port: str) -> tuple[str, ...] | None:
    if port == "outputs":
        return tuple(o for o in node.outputs if o)
    index = _index(port)
    return node.outputs[index : index + 1] if index < len(node.outputs) else None


def _index(port: str) -> int:
    return int(port[port.index("[") + 1 : -1])
