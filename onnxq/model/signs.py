"""Whether values below zero may arrive at a tensor, as far as the ops before it tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from onnxq.model.ops import traits_of
from onnxq.model.pairs import PAIR_TYPES

# Type and inputs of the op that makes a tensor; None for an input of the model and a constant.
MakerOf = Callable[[str], tuple[str, Sequence[str]] | None]


def may_be_negative(tensor: str, maker_of: MakerOf, *, sources: bool) -> bool:
    """True unless the ops that make a tensor give nothing below zero.

    `sources` is the answer for inputs of the model and for constants.
    """
    waiting, visited = [tensor], {tensor}
    while waiting:
        maker = maker_of(waiting.pop())
        if maker is None:
            if sources:
                return True
            continue
        op, inputs = maker
        if traits_of(op).nonnegative:
            continue
        ahead = _sign_inputs(op, inputs)
        if not ahead:
            return True
        waiting.extend(set(ahead) - visited)
        visited.update(ahead)
    return False


def _sign_inputs(op: str, inputs: Sequence[str]) -> Sequence[str]:
    """The inputs whose signs the result of an op has; none for other ops."""
    row = traits_of(op)
    if op in PAIR_TYPES:
        return inputs[:1]
    if row.keeps_sign or row.values != "computed":
        return [t for s, t in enumerate(inputs) if t and (row.data is None or s in row.data)]
    return ()
