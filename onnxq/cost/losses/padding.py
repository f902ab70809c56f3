"""OQ695: Convs with groups that int8 pads."""

from __future__ import annotations

from collections.abc import Iterator

from onnxq.cost.kernel import size
from onnxq.cost.losses.loss import Loss, loss
from onnxq.cost.losses.registry import search
from onnxq.cost.losses.view import EngineView
from onnxq.kernels.layers import Layer
from onnxq.model.graph import Node


@search("OQ695")
def padding(view: EngineView) -> Iterator[Loss]:
    """Name Convs with groups whose kernel reads more channels than the model has."""
    for product in view.products:
        node, layer = view.model.graph.by_name[product.node], view.by_name.get(product.kernel)
        if layer is None or not layer.inputs:
            continue
        channels, padded = _channels(view, node), layer.inputs[0].dims[1:2]
        if not channels or not padded or padded[0] <= channels:
            continue
        makers = [x for x in view.layers if layer.inputs[0].name in {t.name for t in x.outputs}]
        yield loss(
            "OQ695",
            f"{node.op} '{node.name}' has {node.attributes['group']} groups, which {product.dtype} "
            f"pads: {padded[0]:,} channels move instead of {channels:,}",
            fix="leave it in half precision (skip, with --float fp16)",
            kernels=[layer.name, *(maker.name for maker in makers)],
            nodes=[node.name],
            moved=_padded_bytes(layer, makers, padded[0], channels),
        )


def _channels(view: EngineView, node: Node) -> int:
    """The input channels of a Conv with groups; 0 for any other op."""
    groups = int(node.attributes.get("group", 1)) if node.type == "Conv" else 1
    shape = view.model.graph.type(node.inputs[1]).shape if groups > 1 else None
    per_group = shape[1] if shape and len(shape) > 1 else None
    return groups * per_group if isinstance(per_group, int) else 0


def _padded_bytes(layer: Layer, makers: list[Layer], padded: int, channels: int) -> int:
    """Zeros that are read as constants, written, and read again."""
    zeros = size(layer.inputs[0]) * (padded - channels) // padded
    constants = sum(size(t) for x in makers for t in x.constants if size(t) == zeros)
    return 2 * zeros + constants
