"""OQ611: every scale is positive, finite and normal."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.lint.finding import Effect, Finding, finding
from onnxq.lint.qdq import QdqModel
from onnxq.lint.registry import rule


@rule("OQ611")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find scales that are zero, negative, infinite, NaN or subnormal."""
    seen: set[str] = set()
    for node in model.pair_nodes:
        tensor = node.inputs[1]
        scale = model.value(tensor) if tensor not in seen else None
        seen.add(tensor)
        bad = None if scale is None else _bad(scale)
        if bad is not None and bad.size:
            count = f" and {bad.size - 1} other such values" if bad.size > 1 else ""
            yield finding(
                "OQ611",
                # It says so of the first two, and takes the others for what they are.
                Effect.REJECTED if np.any(bad <= 0) else Effect.DIFFERENT,
                f"scale '{tensor}' of {node.op} '{node.name}' is {bad[0]:g}{count}",
                fix="use constant scales of normal size; a dead channel may have a scale of 1",
                node=node.name,
            )


def _bad(scale: NDArray[Any]) -> NDArray[np.float64]:
    values = scale.astype(np.float64).reshape(-1)
    half = scale.dtype == np.float16
    least = float(np.finfo(np.float16 if half else np.float32).tiny)
    return values[~(np.isfinite(values) & (values >= least))]
