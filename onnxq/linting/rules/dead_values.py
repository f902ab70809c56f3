"""OQ635: quantized tensors have values other than zero."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule
from onnxq.model.pairs import DEQUANTIZE, is_pair_node
from onnxq.quantization import INT8_MAX, SMALLEST_AMAX

_TINY: Final = SMALLEST_AMAX / INT8_MAX


@rule("OQ635")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find weights that are zero throughout, and activations that were zero in calibration."""
    for node, tensor in model.first_by(model.quantized_tensor):
        fault = _fault(model, tensor, node.inputs[1], stored=is_pair_node(node, DEQUANTIZE))
        if fault:
            text = f"{node.op} '{node.name}': {fault}"
            fix = "calibrate on data that the model is made for, or drop the part that is dead"
            yield finding("OQ635", Effect.COST, text, fix=fix, node=node.name)


def _fault(model: QdqModel, tensor: str, scale: str, *, stored: bool) -> str:
    if model.is_constant(tensor):
        weight = model.value(tensor) if stored else None
        dead = weight is not None and weight.ndim > 1 and weight.size and not np.any(weight)
        return f"weight '{tensor}' is zero throughout" if dead else ""
    value = model.value(scale)
    least = None if value is None or not value.size else float(value.astype(np.float64).max())
    if least is not None and np.finfo(np.float32).tiny <= least < _TINY:
        return f"activation '{tensor}' has a scale of {least:g}: all but zero saturates"
    return ""
