"""Ports of a rule -> the places in the graph that they mean at one match."""

from __future__ import annotations

from onnxq import ops
from onnxq.graph import Edge, Graph, Node
from onnxq.selectors import Binding


def edges_of(graph: Graph, node: Node, binding: Binding, port: str) -> tuple[Edge, ...] | None:
    """Uses of tensors that a port decides; None when the node has no such input or output."""
    if port in binding:
        return binding[port].edges
    if port == "outputs" or port.startswith("output["):
        outputs = _outputs(node, port)
        return None if outputs is None else tuple(e for o in outputs for e in graph.consumers(o))
    slots = _slots(graph, node, port)
    return None if slots is None else tuple(Edge(node=node.name, slot=s) for s in slots)


def tensors_of(graph: Graph, node: Node, binding: Binding, port: str) -> tuple[str, ...] | None:
    """Tensors that a port means; None when the node has no such input or output."""
    if port in binding:
        return binding[port].tensors
    if port == "outputs" or port.startswith("output["):
        return _outputs(node, port)
    slots = _slots(graph, node, port)
    return None if slots is None else tuple(node.inputs[s] for s in slots)


def _outputs(node: Node, port: str) -> tuple[str, ...] | None:
    if port == "outputs":
        return tuple(o for o in node.outputs if o)
    index = _index(port)
    return node.outputs[index : index + 1] if index < len(node.outputs) else None


def _slots(graph: Graph, node: Node, port: str) -> tuple[int, ...] | None:
    match port:
        case "inputs":
            return ops.activation_slots(graph, node)
        case "weights":
            return ops.weight_slots(graph, node)
        case "all":
            return ops.data_slots(graph, node)
    index = _index(port)
    return (index,) if index < len(node.inputs) and node.inputs[index] else None


def _index(port: str) -> int:
    return int(port[port.index("[") + 1 : -1])
