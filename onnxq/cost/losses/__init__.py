"""Kernels that cost more than they must, with what to do. Every module here but the first two adds
the losses of one code."""

from onnxq.cost.losses import (
    copies,
    float_products,
    float_tensors,
    padding,
    rounded_again,
    slower,
)
from onnxq.cost.losses.loss import Loss
from onnxq.cost.losses.registry import losses
from onnxq.cost.losses.view import EngineView, Product

__all__ = [
    "EngineView",
    "Loss",
    "Product",
    "copies",
    "float_products",
    "float_tensors",
    "losses",
    "padding",
    "rounded_again",
    "slower",
]
