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
from onnxq.model.graph import Node
from onnxq.model.pairs import QUANTIZE, is_pair_node

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
    tensor, ops = _read_bare(view, layer, nodes)
    # A pool could not read a pair; what generated kernels read they dequantize as they go.
    can_read = all(x.kind == "kgen" or x.is_product for x in readers)
    if finding is None and not (ops and can_read):
        return
    moved = sum(size(t) * (1 + len(view.readers.get(t.name, ()))) for t in extra)
    types = " and in ".join(_NAMES.get(t.dtype, t.dtype) for t in (quantized, extra[0]))
    text = shortened([f"{op.op} '{op.name}'" for op in ops])
    yield loss(
        "OQ693",
        finding.message if finding else f"'{tensor}' is stored in {types}, which {text} reads",
        fix=finding.fix if finding else "let that read the DequantizeLinear of its pair too",
        kernels=[layer.name, *(reader.name for reader in readers)],
        nodes=[finding.node] if finding else [op.name for op in ops],
        moved=moved,
    )


def _read_bare(view: EngineView, layer: Layer, nodes: Sequence[str]) -> tuple[str, Sequence[Node]]:
    """The tensor that a layer quantizes, and those of the nodes that read it without its pair."""
    by_name = view.model.graph.by_name
    for node in (by_name[n] for n in layer.nodes if n in by_name):
        if is_pair_node(node, QUANTIZE):
            readers = view.model.readers(node.inputs[0])
            ops = [n for n in readers if n.name in nodes and not is_pair_node(n)]
            if ops:
                return node.inputs[0], ops
    return "", ()
