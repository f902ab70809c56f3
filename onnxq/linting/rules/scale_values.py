"""OQ611: every scale is positive, finite and normal."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.linting.edit import Edit, Repair
from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.ranges import along, quantized_tensors
from onnxq.linting.registry import repair, rule


@rule("OQ611")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find scales that are zero, negative, infinite, NaN or subnormal."""
    for node, tensor in model.first_by(lambda n: n.inputs[1]):
        scale = model.value(tensor)
        bad = None if scale is None else _bad(scale)
        if scale is None or bad is None or not bad.size:
            continue
        effect = _effect(scale, bad)
        count = f" and {bad.size - 1} other such values" if bad.size > 1 else ""
        few = ", which float16 holds with few digits" if effect is Effect.COST else ""
        yield finding(
            "OQ611",
            effect,
            f"scale '{tensor}' of {node.op} '{node.name}' is {bad[0]:g}{count}{few}",
            fix="use constant scales of normal size; a dead channel may have a scale of 1",
            node=node.name,
        )


def _bad(scale: NDArray[Any]) -> NDArray[np.float64]:
    values = scale.astype(np.float64).reshape(-1)
    half = scale.dtype == np.float16
    # TensorRT computes with 16-bit scales in float32, so that theirs may be subnormal.
    least = float(np.finfo(np.float16).smallest_subnormal if half else np.finfo(np.float32).tiny)
    return values[~(np.isfinite(values) & (values >= least))]


def _effect(scale: NDArray[Any], bad: NDArray[np.float64]) -> Effect:
    """TensorRT rejects zero and less. It accepts the others, and may flush subnormals to zero."""
    if np.any(bad <= 0):
        return Effect.REJECTED
    small = scale.dtype == np.float16 and bool(np.all(np.isfinite(bad)))
    return Effect.COST if small else Effect.DIFFERENT


@repair("OQ611")
def revive(model: QdqModel, edit: Edit) -> Iterator[Repair]:
    """Give a stored channel whose scale is 0 a scale of 1 and zeros: it computes the same."""
    for tensor in quantized_tensors(model):
        node, scale, axis = tensor.dequantizers[0], tensor.scale, tensor.axis
        stored = model.value(node.inputs[0]) if tensor.quantizer is None else None
        dead = scale == 0
        if stored is None or not np.any(dead) or not tensor.fits:
            continue
        zero = along(tensor.zero_point.astype(stored.dtype), stored, axis)
        values = np.where(along(dead, stored, axis), zero, stored)
        name = edit.constant(node.inputs[0], values)
        alive = edit.constant(node.inputs[1], np.where(dead, scale.dtype.type(1), scale))
        for dequantizer in tensor.dequantizers:
            edit.rewire(dequantizer.name, 0, name)
            edit.rewire(dequantizer.name, 1, alive)
        text = f"{node.op} '{node.name}' has a scale of 1 for {int(dead.sum())} dead channels"
        yield Repair(code="OQ611", node=node.name, text=text, exact=True)
