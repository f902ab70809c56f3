"""OQ693: a result that is stored several times, in several types or with several scales."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from onnxq.cost.kernel import size
from onnxq.cost.losses.loss import Loss, loss
from onnxq.cost.losses.registry import search
from onnxq.cost.losses.view import EngineView, shortened
from onnxq.kernels.layers import Layer, LayerTensor

# Of lint: a skip in float, several scales, a pool that not all read through a pair.
_CAUSES: Final = ("OQ627", "OQ628", "OQ630")
_QUANTIZED: Final = frozenset({"Int8", "FP8"})
_NAMES: Final = {"BFloat16": "bf16", "FP8": "fp8", "Float": "fp32", "Half": "fp16", "Int8": "int8"}


@search("OQ693")
def copies(view: EngineView) -> Iterator[Loss]:
    """Name kernels that write results of one shape several times, one of them quantized."""
    for layer in view.layers:
        inner = sorted(
            {t.name: t for t in layer.outputs if t.name not in view.ports}.values(),
            key=lambda t: t.dims,
        )
        for _, same in groupby(inner, key=lambda t: t.dims):
            alike = sorted(same, key=size)
            if len(alike) > 1 and alike[0].dtype in _QUANTIZED:
                yield from _copied(view, layer, alike)


def _copied(view: EngineView, layer: Layer, alike: Sequence[LayerTensor]) -> Iterator[Loss]:
    quantized, *extra = alike
    readers = [reader for t in extra for reader in view.readers.get(t.name, ())]
    nodes = list(dict.fromkeys(n for reader in readers for n in reader.nodes))
    finding = view.finding([*layer.nodes, *nodes], _CAUSES)
    if finding is None and all(t.dtype == quantized.dtype for t in extra):
        return  # two results, as of a Split
    moved = sum(size(t) * (1 + len(view.readers.get(t.name, ()))) for t in extra)
    products = {product.node for product in view.products}
    ops = view.ops([n for n in nodes if n not in products])  # they read it in the product's kernel
    readers_text = shortened(list(ops)) or "another kernel"
    yield loss(
        "OQ693",
        finding.message
        if finding
        else f"a result that is stored in {_NAMES[quantized.dtype]} is stored in "
        f"{_NAMES.get(extra[0].dtype, extra[0].dtype)} too, for {readers_text}",
        fix=finding.fix if finding else "let all readers of the tensor read one pair of it",
        kernels=[layer.name, *(reader.name for reader in readers)],
        nodes=[finding.node] if finding else nodes,
        moved=moved,
    )
