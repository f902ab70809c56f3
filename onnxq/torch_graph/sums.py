"""Rows of operators that sum: matrix products, reductions, normalizations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from onnxq.model.graph import Node
from onnxq.model.node_inputs import attribute
from onnxq.torch_graph.row import Row, integers, one_output, plain

Axes = tuple[int, ...]


def _gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.t() if attribute(node, "transA") else a
    b = b.t() if attribute(node, "transB") else b
    product, alpha, beta = a @ b, attribute(node, "alpha"), attribute(node, "beta")
    product = product if alpha == 1 else alpha * product
    return product if c is None else product + (c if beta == 1 else beta * c)


def _einsum(node: Node, *inputs: Tensor) -> Tensor:
    return torch.einsum(attribute(node, "equation").decode(), *inputs)


def _reduced(function: Callable[[Tensor, Axes, bool], Tensor]) -> Row:
    """The row of a reduction; its axes are an attribute or, from opset 18 on, an input."""

    def compute(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
        along = integers(axes) or list(attribute(node, "axes") or ())
        if not along and attribute(node, "noop_with_empty_axes"):
            return x
        places = tuple(a % x.ndim for a in along) or tuple(range(x.ndim))
        return function(x, places, bool(attribute(node, "keepdims")))

    return Row(compute)


def _product(x: Tensor, axes: Axes, keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _batch_normalization(
    node: Node, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    return F.batch_norm(x, mean, variance, scale, bias, eps=attribute(node, "epsilon"))


def _training(node: Node) -> str:
    return "training" if attribute(node, "training_mode") else one_output(node)


def _layer_normalization(
    node: Node, x: Tensor, scale: Tensor, bias: Tensor | None = None
) -> Tensor:
    shape, epsilon = x.shape[attribute(node, "axis") :], attribute(node, "epsilon")
    if scale.shape == shape:
        return F.layer_norm(x, shape, scale, bias, epsilon)
    normal = F.layer_norm(x, shape, eps=epsilon) * scale
    return normal if bias is None else normal + bias


def _instance_normalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return F.instance_norm(x, weight=scale, bias=bias, eps=attribute(node, "epsilon"))


def _group_normalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    groups = attribute(node, "num_groups")
    each = x.shape[1] // scale.numel()  # before opset 21 there is one value a group
    scale, bias = scale.repeat_interleave(each), bias.repeat_interleave(each)
    return F.group_norm(x, groups, scale, bias, attribute(node, "epsilon"))


def _lp_normalization(node: Node, x: Tensor) -> Tensor:
    return F.normalize(x, attribute(node, "p"), attribute(node, "axis"), eps=0)


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
    "LayerNormalization": Row(_layer_normalization, one_output),
    "LogSoftmax": Row(lambda node, x: F.log_softmax(x, attribute(node, "axis"))),
    "LpNormalization": Row(_lp_normalization),
    "MatMul": plain(torch.matmul),
    "ReduceL1": _reduced(lambda x, axes, keep: x.abs().sum(axes, keep)),
    "ReduceL2": _reduced(lambda x, axes, keep: x.square().sum(axes, keep).sqrt()),
    "ReduceLogSumExp": _reduced(torch.logsumexp),
    "ReduceMax": _reduced(torch.amax),
    "ReduceMean": _reduced(torch.mean),
    "ReduceMin": _reduced(torch.amin),
    "ReduceProd": _reduced(_product),
    "ReduceSum": _reduced(torch.sum),
    "ReduceSumSquare": _reduced(lambda x, axes, keep: x.square().sum(axes, keep)),
    "Softmax": Row(lambda node, x: F.softmax(x, attribute(node, "axis"))),
}
