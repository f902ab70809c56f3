"""Repairs what lint finds, as far as that takes no calibration."""

from __future__ import annotations

from typing import Final

import onnx

from onnxq.linting.edit import Edit, Repair
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import RULES

_FIRST: Final = ("OQ619", "OQ620")  # the others need names and the right opset
_ROUNDS: Final = 4  # one repair can make way for another, but not for long


def repaired(model: onnx.ModelProto) -> tuple[onnx.ModelProto, tuple[Repair, ...]]:
    """A copy of a model with every repair that the rules have, and the repairs in order.

    What cannot be repaired stays as it is. The model itself is not changed.
    """
    current = onnx.ModelProto()
    current.CopyFrom(model)
    made: list[Repair] = []
    codes = (*_FIRST, *(code for code in sorted(RULES) if code not in _FIRST))
    read = QdqModel(current)
    for _ in range(_ROUNDS):
        before = len(made)
        for repairer in (r for code in codes for r in RULES[code].repairs):
            edit = Edit(current)
            names, done = edit.reads(), len(made)
            made += repairer(read, edit)
            if len(made) > done:
                edit.drop_unread(names)
                current = edit.model
                read = QdqModel(current)
        if len(made) == before:
            break
    return current, tuple(made)
