"""OQ696: tensors in FP32 between the kernels of a quantized engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from onnxq.cost.kernel import size
from onnxq.cost.losses.loss import Loss, loss
from onnxq.cost.losses.registry import search
from onnxq.cost.losses.view import EngineView, by_size, shortened
from onnxq.diagnostics import counted
from onnxq.insertion.float_types import computed_types

_LEAST: Final = 0.01  # of the engine's bytes


@search("OQ696")
def float_tensors(view: EngineView) -> Iterator[Loss]:
    """Name the kernels that read and write the most bytes of FP32, in one loss of half of these."""
    moved: Counter[str] = Counter()
    tensors = {}
    # What an int8 product writes in float is the compiler's choice, whatever the file says.
    products = (x for x in view.layers if x.precision in ("int8", "fp8"))
    stays = {tensor for step in view.cost.steps for tensor in step.stays}
    stays |= {tensor.name for layer in products for tensor in layer.outputs}
    for layer in view.layers:
        for tensor in {t.name: t for t in (*layer.inputs, *layer.outputs)}.values():
            if tensor.dtype == "Float" and tensor.name not in stays | view.ports:
                moved[layer.name] += size(tensor)
                tensors[tensor.name] = tensor
    if moved.total() <= _LEAST * view.cost.bytes:
        return
    kernels = by_size(moved)
    nodes = list(dict.fromkeys(n for name in kernels for n in view.by_name[name].nodes))
    ops = shortened(list(view.ops(nodes)))
    yield loss(
        "OQ696",
        f"{counted(len(tensors), 'tensor')} between kernels in FP32"
        + (f", the most at {ops}" if ops else ""),
        fix=_fix(view),
        kernels=kernels,
        nodes=nodes,
        moved=moved.total() // 2,
    )


def _fix(view: EngineView) -> str:
    if computed_types(view.model.graph).keys() & {"fp16", "bf16"}:
        return "they stay in FP32 by a rule or by their range; let them be half if accuracy allows"
    return "insert with --float fp16, which halves what these move"
