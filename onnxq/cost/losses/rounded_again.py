"""OQ694: kernels that round again, or round and go on in float."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from onnxq.cost.losses.loss import Loss, loss
from onnxq.cost.losses.registry import search
from onnxq.cost.losses.view import EngineView, shortened
from onnxq.model.pairs import QUANTIZE

# Of lint: several scales, a second pair, a pair between a product and its activation.
_CAUSES: Final = ("OQ625", "OQ629", "OQ630", "OQ631")
_QUANTIZED: Final = frozenset({"Int8", "FP8"})


@search("OQ694")
def rounded_again(view: EngineView) -> Iterator[Loss]:
    """Name kernels whose pairs round a value twice, or to no effect on the speed."""
    for kernel in view.kernels:
        if kernel.conversion not in ("requantize", "dequantize"):
            continue
        step, layer = view.step_of[kernel.name], view.by_name[kernel.name]
        finding = view.finding(step.nodes, _CAUSES)
        goes_on_in_float = not {t.dtype for t in layer.outputs} & _QUANTIZED
        tensors = [f"'{tensor}'" for tensor in _quantized(view, kernel.nodes)]
        what = shortened(tensors) or f"what {kernel.name} reads"
        what += " are" if len(tensors) > 1 else " is"
        if goes_on_in_float:
            message = f"{what} rounded, and then read in float"
            fix = "put the pair where an op multiplies in int8, or remove it"
        else:
            message = f"{what} rounded, and rounded again in the same kernel"
            fix = "give these pairs one scale (share_scale), or remove one"
        yield loss(
            "OQ694",
            finding.message if finding else message,
            fix=finding.fix if finding else fix,
            kernels=[kernel.name],
            nodes=[finding.node] if finding else kernel.nodes,
            moved=kernel.bytes if len(step.kernels) == 1 else 0,
        )


def _quantized(view: EngineView, nodes: tuple[str, ...]) -> Iterator[str]:
    """The activations that the pairs among some nodes quantize."""
    for node in view.model.pair_nodes:
        if node.name in nodes and node.op == QUANTIZE:
            tensor = view.model.quantized_tensor(node)
            if not view.model.is_constant(tensor):
                yield tensor
