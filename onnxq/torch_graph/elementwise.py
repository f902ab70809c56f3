"""Rows of operators that compute every value from the values at one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from onnxq.model.graph import Node
from onnxq.model.node_inputs import attribute
from onnxq.torch_graph.row import Row, one_output, plain
from onnxq.torch_graph.types import TYPES


def _div(x: Tensor, y: Tensor) -> Tensor:
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def _mod(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return torch.fmod(x, y) if attribute(node, "fmod") else torch.remainder(x, y)


def _pow(x: Tensor, y: Tensor) -> Tensor:
    exponent = y.item() if y.numel() == 1 else y
    return torch.pow(x, exponent).to(x.dtype)


def _clip(node: Node, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    bounds = [None if b is None else b.item() for b in (low, high)]
    if all(bound is None for bound in bounds):
        return x
    return torch.clamp(x, *bounds)


def _cast(node: Node, x: Tensor) -> Tensor:
    return x.to(TYPES[attribute(node, "to")])


def _cast_limit(node: Node) -> str:
    return "" if attribute(node, "to") in TYPES else f"a cast to type {attribute(node, 'to')}"


def _hard_sigmoid(node: Node, x: Tensor) -> Tensor:
    return torch.clamp(attribute(node, "alpha") * x + attribute(node, "beta"), 0, 1)


def _gelu(node: Node, x: Tensor) -> Tensor:
    return functional.gelu(x, approximate=attribute(node, "approximate").decode())


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


def _swish(node: Node, x: Tensor) -> Tensor:
    return x * torch.sigmoid(attribute(node, "alpha") * x)


def _thresholded_relu(node: Node, x: Tensor) -> Tensor:
    return torch.where(x > attribute(node, "alpha"), x, torch.zeros_like(x))


def _training(node: Node) -> str:
    return "training" if any(node.inputs[2:]) else one_output(node)


def _mean(*inputs: Tensor) -> Tensor:
    return reduce(torch.add, inputs) / len(inputs)


def _folded(function: Callable[[Tensor, Tensor], Tensor]) -> Row:
    """The row of an operator with any number of inputs."""
    return plain(lambda *inputs: reduce(function, inputs))


ROWS: Final[Mapping[str, Row]] = {
    "Abs": plain(torch.abs),
    "Add": plain(torch.add),
    "And": plain(torch.logical_and),
    "Cast": Row(_cast, _cast_limit),
    "Ceil": plain(torch.ceil),
    "Celu": Row(lambda node, x: functional.celu(x, attribute(node, "alpha"))),
    "Clip": Row(_clip),
    "Cos": plain(torch.cos),
    "Div": plain(_div),
    "Dropout": Row(lambda node, x, *ratio: x, _training),
    "Elu": Row(lambda node, x: functional.elu(x, attribute(node, "alpha"))),
    "Equal": plain(torch.eq),
    "Erf": plain(torch.erf),
    "Exp": plain(torch.exp),
    "Floor": plain(torch.floor),
    "Gelu": Row(_gelu),
    "Greater": plain(torch.gt),
    "GreaterOrEqual": plain(torch.ge),
    "HardSigmoid": Row(_hard_sigmoid),
    "HardSwish": plain(lambda x: x * torch.clamp(x / 6 + 0.5, 0, 1)),
    "Identity": plain(lambda x: x),
    "LeakyRelu": Row(lambda node, x: functional.leaky_relu(x, attribute(node, "alpha"))),
    "Less": plain(torch.lt),
    "LessOrEqual": plain(torch.le),
    "Log": plain(torch.log),
    "Max": _folded(torch.maximum),
    "Mean": plain(_mean),
    "Min": _folded(torch.minimum),
    "Mish": plain(functional.mish),
    "Mod": Row(_mod),
    "Mul": plain(torch.mul),
    "Neg": plain(torch.neg),
    "Not": plain(torch.logical_not),
    "Or": plain(torch.logical_or),
    "PRelu": plain(_prelu),
    "Pow": plain(_pow),
    "Reciprocal": plain(torch.reciprocal),
    "Relu": plain(torch.relu),
    "Round": plain(torch.round),
    "Sigmoid": plain(torch.sigmoid),
    "Sign": plain(torch.sign),
    "Sin": plain(torch.sin),
    "Softplus": plain(functional.softplus),
    "Softsign": plain(functional.softsign),
    "Sqrt": plain(torch.sqrt),
    "Sub": plain(torch.sub),
    "Sum": _folded(torch.add),
    "Swish": Row(_swish),
    "Tanh": plain(torch.tanh),
    "ThresholdedRelu": Row(_thresholded_relu),
    "Where": plain(torch.where),
}
