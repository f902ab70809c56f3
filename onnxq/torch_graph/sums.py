"""Rows of operators that sum: matrix products, reductions, normalizations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from onnxq.model.graph import Node
from onnxq.model.node_inputs import attribute
from onnxq.torch_graph.row import Result, Row, integers, one_output, plain

Axes = tuple[int, ...]
Reduce = Callable[[Tensor, Axes, bool], Tensor]


def _gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.t() if attribute(node, "transA") else a
    b = b.t() if attribute(node, "transB") else b
    product, alpha, beta = a @ b, attribute(node, "alpha"), attribute(node, "beta")
    product = product if alpha == 1 else alpha * product
    return product if c is None else product + (c if beta == 1 else beta * c)


def _einsum(node: Node, *inputs: Tensor) -> Tensor:
    return torch.einsum(attribute(node, "equation").decode(), *inputs)


def _reduced(function: Reduce) -> Row:
    """The row of a reduction; its axes are an attribute or, from opset 18 on, an input."""

    def compute(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
        along = integers(axes) or list(attribute(node, "axes") or ())
        if not along and attribute(node, "noop_with_empty_axes"):
            return x
        places = tuple(a % x.ndim for a in along) or tuple(range(x.ndim))
        return function(x, places, bool(attribute(node, "keepdims")))

    return Row(compute)


def _extreme(function: Reduce, of_none: float) -> Reduce:
    """The largest or least values; of no values at all what ONNX takes."""

    def compute(x: Tensor, axes: Axes, keep: bool) -> Tensor:
        if all(x.shape[axis] for axis in axes):
            return function(x, axes, keep)
        empty = x.sum(axes, keep).to(x.dtype)
        return empty + of_none if x.is_floating_point() else empty

    return compute


def _product(x: Tensor, axes: Axes, keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _batch_normalization(
    node: Node, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    return functional.batch_norm(x, mean, variance, scale, bias, eps=attribute(node, "epsilon"))


def _training(node: Node) -> str:
    return "training" if attribute(node, "training_mode") else one_output(node)


def _layer_normalization(
    node: Node, x: Tensor, scale: Tensor, bias: Tensor | None = None
) -> Result:
    shape, epsilon = x.shape[attribute(node, "axis") :], attribute(node, "epsilon")
    normal = functional.layer_norm(x, shape, eps=epsilon) * scale
    result = normal if bias is None else normal + bias
    if not any(node.outputs[1:]):
        return result
    axes = tuple(range(-len(shape), 0))
    variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    return result, mean, torch.rsqrt(variance + epsilon)


def _instance_normalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return functional.instance_norm(x, weight=scale, bias=bias, eps=attribute(node, "epsilon"))


def _group_normalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    groups = attribute(node, "num_groups")
    each = x.shape[1] // scale.numel()  # before opset 21 there is one value a group
    scale, bias = scale.repeat_interleave(each), bias.repeat_interleave(each)
    return functional.group_norm(x, groups, scale, bias, attribute(node, "epsilon"))


def _lp_normalization(node: Node, x: Tensor) -> Tensor:
    return functional.normalize(x, attribute(node, "p"), attribute(node, "axis"), eps=1e-30)


def _argmax(node: Node, x: Tensor) -> Tensor:
    return x.argmax(attribute(node, "axis"), keepdim=bool(attribute(node, "keepdims")))


def _last(node: Node) -> str:
    return "select_last_index" if attribute(node, "select_last_index") else ""


ROWS: Final[Mapping[str, Row]] = {
    "ArgMax": Row(_argmax, _last),
    "BatchNormalization": Row(_batch_normalization, _training),
    "Einsum": Row(_einsum),
    "Gemm": Row(_gemm),
    "GroupNormalization": Row(_group_normalization),
    "InstanceNormalization": Row(_instance_normalization),
    "LayerNormalization": Row(_layer_normalization),
    "LogSoftmax": Row(lambda node, x: functional.log_softmax(x, attribute(node, "axis"))),
    "LpNormalization": Row(_lp_normalization),
    "MatMul": plain(torch.matmul),
    "ReduceL1": _reduced(lambda x, axes, keep: x.abs().sum(axes, keep)),
    "ReduceL2": _reduced(lambda x, axes, keep: x.square().sum(axes, keep).sqrt()),
    "ReduceLogSumExp": _reduced(torch.logsumexp),
    "ReduceMax": _reduced(_extreme(torch.amax, -torch.inf)),
    "ReduceMean": _reduced(torch.mean),
    "ReduceMin": _reduced(_extreme(torch.amin, torch.inf)),
    "ReduceProd": _reduced(_product),
    "ReduceSum": _reduced(torch.sum),
    "ReduceSumSquare": _reduced(lambda x, axes, keep: x.square().sum(axes, keep)),
    "Softmax": Row(lambda node, x: functional.softmax(x, attribute(node, "axis"))),
}
