"""The last model that computes what the original does, as a state that can be kept."""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx

from onnxq.improvement.edits import Array, Edits, edited
from onnxq.improvement.improver import State
from onnxq.model import weights
from onnxq.model.constants import Constants

_PREFIX: Final = "exact/"


def changed_since(exact: onnx.ModelProto, model: onnx.ModelProto) -> dict[str, Array]:
    """The constants of the exact model that a later one has others for; zeros for its biases."""
    if exact is model:
        return {}
    before = Constants(exact.graph).stored()
    arrays: dict[str, Array] = {}
    for name, tensor in Constants(model.graph).stored().items():
        old = before.get(name)
        if old is None:
            arrays[_PREFIX + name] = np.zeros_like(weights.array(tensor))
        elif old != tensor:
            arrays[_PREFIX + name] = weights.array(old)
    return arrays


def kept_apart(state: State, model: onnx.ModelProto) -> tuple[State, onnx.ModelProto]:
    """The state of an improver, and the exact model that was kept with it."""
    own = {name: array for name, array in state.items() if not name.startswith(_PREFIX)}
    old = {n.removeprefix(_PREFIX): a for n, a in state.items() if n.startswith(_PREFIX)}
    return own, edited(model, Edits(constants=old)) if old else model
