"""Repair of findings of lint that needs no calibration."""

from __future__ import annotations

from typing import Final

import onnx

from onnxq.linting.edit import Edit, Repair
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import RULES

_FIRST: Final = ("OQ619", "OQ620")  # the others need names and the right opset
_ROUNDS: Final = 4  # a repair can make another one possible, a few times


def repaired(model: onnx.ModelProto) -> tuple[onnx.ModelProto, tuple[Repair, ...]]:
    """Return a copy of a model with all repairs of the rules, and the repairs in order.

    Other findings stay. The model itself is not changed, and weights in files stay in their files
    (`onnxq.model.weights`) where they are not repaired.
    """
    current = onnx.ModelProto()
    current.CopyFrom(model)
    repairs: list[Repair] = []
    codes = (*_FIRST, *(code for code in sorted(RULES) if code not in _FIRST))
    view = QdqModel(current)
    for _ in range(_ROUNDS):
        before = len(repairs)
        for repairer in (r for code in codes for r in RULES[code].repairs):
            edit = Edit(current)
            names, count = edit.reads(), len(repairs)
            repairs += repairer(view, edit)
            if len(repairs) > count:
                edit.drop_unread(names)
                current = edit.model
                view = QdqModel(current)
        if len(repairs) == before:
            break
    return current, tuple(repairs)
