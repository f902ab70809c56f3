"""Products that TensorRT computes in float because their result is cut in front of its pairs."""

from __future__ import annotations

from onnxq.linting.qdq import QdqModel
from onnxq.model.cuts import Cut, computes_parts, cut_of_product
from onnxq.model.graph import Node
from onnxq.model.node_inputs import data_inputs
from onnxq.model.ops import traits
from onnxq.model.pairs import is_pair_node


def cut_in_float(model: QdqModel, node: Node) -> Cut | None:
    """The cut for which a product that has all of its pairs is computed in float; None if none."""
    cut = cut_of_product(model.graph, node)
    if cut is None or not computes_parts(model.graph, cut, lambda t: _is_joined(model, t)):
        return None
    return cut


def _is_joined(model: QdqModel, tensor: str) -> bool:
    """True when a product of two activations reads a tensor, across pairs and moving ops."""
    waiting = [tensor]
    while waiting:
        for node in model.readers(waiting.pop()):
            if is_pair_node(node) or traits(node).moves:
                waiting.extend(node.outputs)
            elif traits(node).weighted and not any(
                model.is_constant(t) for _, t in data_inputs(node)
            ):
                return True
    return False
