"""OQ692: products in float beside products in int8."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from onnxq.cost.losses.loss import Loss, loss
from onnxq.cost.losses.registry import search
from onnxq.cost.losses.view import EngineView, Product
from onnxq.linting.operands import operand_types
from onnxq.model.graph import Node
from onnxq.model.ops import traits

_FLOATS: Final = frozenset({"fp32", "fp16", "bf16"})


@search("OQ692")
def float_products(view: EngineView) -> Iterator[Loss]:
    """Name the products in FP32, and those in half precision that have pairs to no effect."""
    if not view.model.pair_nodes:
        return
    for product in view.products:
        node = view.model.graph.by_name[product.node]
        if product.dtype not in _FLOATS or not traits(node).weighted or not product.kernel:
            continue
        step = view.step_of[product.kernel]
        finding = view.finding([product.node]) or view.finding(step.nodes)
        if traits(node).kept_float or (product.dtype != "fp32" and finding is None):
            continue
        yield loss(
            "OQ692",
            f"{node.op} '{node.name}' multiplies in {product.dtype}{_because(product)}",
            fix=finding.fix if finding else _fix(view, node),
            kernels=[kernel.name for kernel in step.kernels],
            nodes=[product.node],
            moved=step.bytes,
        )


def _fix(view: EngineView, node: Node) -> str:
    if all(operand_types(view.model, node).values()):
        return "leave it in half precision (skip, with --float fp16)"
    return "put a pair on each of its inputs, or insert with --float fp16"


def _because(product: Product) -> str:
    return f": {product.reason}" if product.reason else ""
