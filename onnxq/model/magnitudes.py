"""Upper bounds of the values of tensors: they follow from those of other tensors and the weights.

Bounds are of finite magnitudes, as interval arithmetic gives them: the sum of the products of a
convolution is at most the sum of its weights' magnitudes times the largest input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from onnxq.model.graph import Graph, Node
from onnxq.model.node_inputs import attribute, channel_axis
from onnxq.model.ops import traits

_FLOATS: Final = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_INTEGERS: Final[dict[int, float]] = {
    TensorProto.BOOL: 1.0,
    TensorProto.INT8: 128.0,
    TensorProto.UINT8: 255.0,
    TensorProto.INT16: 32768.0,
    TensorProto.UINT16: 65535.0,
}


def magnitudes(graph: Graph, observed: Mapping[str, float]) -> dict[str, float]:
    """Return an upper bound of |x| for the float tensors that nodes outside of bodies make or read.

    `observed` has the largest magnitudes of some tensors, which are taken as they are. The bound is
    infinite where none follows: after an op that is not known here, and for an input of the graph
    that was not observed. Constants have the exact value.
    """
    bounds = _Bounds(graph, observed)
    for node in graph.nodes:  # in topological order
        if not node.scope:
            bounds.add(node)
    return bounds.by_tensor


def largest(values: NDArray[Any]) -> float:
    """The largest finite magnitude of an array; 0 when there is none."""
    finite = values[np.isfinite(values)]
    return float(max(finite.max(), -finite.min())) if finite.size else 0.0


class _Bounds:
    """Bounds of the tensors up to the node that was added last."""

    def __init__(self, graph: Graph, observed: Mapping[str, float]) -> None:
        self.graph = graph
        self.by_tensor: dict[str, float] = {}
        self._observed = observed

    def add(self, node: Node) -> None:
        for tensor in node.inputs:
            self.of(tensor)
        for slot, tensor in enumerate(node.outputs):
            if not self._is_float(tensor):
                continue
            if tensor in self._observed or self.graph.is_constant(tensor):
                self.of(tensor)
            elif slot == 0 or node.type == "Split":
                bound = self._result(node)
                self.by_tensor[tensor] = math.inf if math.isnan(bound) else bound
            else:
                self.by_tensor[tensor] = math.inf

    def of(self, tensor: str) -> float:
        """The bound of a float tensor; 0 for others and for an absent input."""
        if not self._is_float(tensor):
            return 0.0
        if tensor not in self.by_tensor:
            bound = self._observed.get(tensor, math.inf)
            if self.graph.is_constant(tensor):
                bound = largest(self.graph.array(tensor))
            self.by_tensor[tensor] = bound
        return self.by_tensor[tensor]

    def constant(self, node: Node, slot: int) -> NDArray[Any] | None:
        """The values of an input that is a constant; None for another one, and an absent one."""
        tensor = node.inputs[slot] if slot < len(node.inputs) else ""
        return self.graph.array(tensor) if tensor and self.graph.is_constant(tensor) else None

    def size(self, tensor: str) -> float:
        """The number of elements; infinite when a dimension is not known."""
        shape = self.graph.type(tensor).shape
        sizes = [size for size in shape or () if isinstance(size, int)]
        return math.prod(sizes) if shape is not None and len(sizes) == len(shape) else math.inf

    def _is_float(self, tensor: str) -> bool:
        dtype = self.graph.type(tensor).dtype
        return bool(tensor) and (dtype in _FLOATS or not dtype)

    def _result(self, node: Node) -> float:
        if traits(node).largest == "one":
            return 1.0
        if traits(node).is_not_larger:
            return max(map(self.of, node.inputs))
        rule = _RULES.get(node.type)
        return math.inf if rule is None else rule(self, node)


def _sum(bounds: _Bounds, node: Node) -> float:
    return sum(map(bounds.of, node.inputs))


def _product(bounds: _Bounds, node: Node) -> float:
    return math.prod(map(bounds.of, node.inputs))


def _quotient(bounds: _Bounds, node: Node) -> float:
    divisor = bounds.constant(node, 1)
    smallest = 0.0 if divisor is None else float(np.abs(divisor).min(initial=math.inf))
    return bounds.of(node.inputs[0]) / smallest if smallest else math.inf


def _power(bounds: _Bounds, node: Node) -> float:
    exponent = bounds.constant(node, 1)
    if exponent is None or exponent.size != 1 or exponent.item() < 0:
        return math.inf
    try:
        return float(bounds.of(node.inputs[0]) ** exponent.item())
    except OverflowError:
        return math.inf


def _exponential(bounds: _Bounds, node: Node) -> float:
    exponent = bounds.of(node.inputs[0])
    return math.exp(exponent) if exponent < 700 else math.inf


def _clipped(bounds: _Bounds, node: Node) -> float:
    low, high = (bounds.constant(node, slot) for slot in (1, 2))
    if low is not None and high is not None:
        return max(largest(low), largest(high))
    return max(map(bounds.of, node.inputs))


def _leaky(bounds: _Bounds, node: Node) -> float:
    slope = bounds.of(node.inputs[1]) if node.type == "PRelu" else attribute(node, "alpha")
    return bounds.of(node.inputs[0]) * max(1.0, abs(float(slope)))


def _cast(bounds: _Bounds, node: Node) -> float:
    source = bounds.graph.type(node.inputs[0]).dtype
    if source in _FLOATS:
        return bounds.of(node.inputs[0])
    return _INTEGERS.get(source, math.inf)


def _dequantized(bounds: _Bounds, node: Node) -> float:
    source = bounds.graph.type(node.inputs[0]).dtype
    steps = 255.0 if source in (TensorProto.INT8, TensorProto.UINT8) else math.inf
    return steps * bounds.of(node.inputs[1])


def _resized(bounds: _Bounds, node: Node) -> float:
    overshoot = 2.0 if attribute(node, "mode") == b"cubic" else 1.0
    return overshoot * bounds.of(node.inputs[0])


def _total(bounds: _Bounds, node: Node) -> float:
    return bounds.of(node.inputs[0]) * bounds.size(node.inputs[0]) / bounds.size(node.outputs[0])


def _normalized(bounds: _Bounds, node: Node) -> float:
    """(x - mean) / deviation is at most the root of the number of values, times scale plus bias."""
    return math.sqrt(bounds.size(node.inputs[0])) * bounds.of(node.inputs[1]) + sum(
        map(bounds.of, node.inputs[2:])
    )


def _batch_normalized(bounds: _Bounds, node: Node) -> float:
    scale, bias, mean, variance = (bounds.constant(node, slot) for slot in range(1, 5))
    if scale is None or bias is None or mean is None or variance is None:
        return math.inf
    gain = np.abs(scale / np.sqrt(variance + attribute(node, "epsilon")))
    return float((gain * (bounds.of(node.inputs[0]) + np.abs(mean)) + np.abs(bias)).max())


def _matrix_product(bounds: _Bounds, node: Node) -> float:
    bias = bounds.of(node.inputs[2]) if len(node.inputs) > 2 else 0.0
    if node.type == "Gemm":
        alpha, beta = (abs(attribute(node, name)) for name in ("alpha", "beta"))
        return float(alpha * _gain(bounds, node) + beta * bias)
    return _gain(bounds, node) + bias


def _einsum(bounds: _Bounds, node: Node) -> float:
    return _gain(bounds, node) if traits(node).weighted else math.inf


def _gain(bounds: _Bounds, node: Node) -> float:
    """The largest sum of the weights' magnitudes of an output channel, times the input's bound."""
    for slot in (1, 0):
        weight = bounds.constant(node, slot)
        if weight is not None:
            channel = channel_axis(bounds.graph, node, slot)
            others = tuple(axis for axis in range(weight.ndim) if axis != channel)
            sums = np.abs(weight).sum(axis=others, dtype=np.float64)
            return float(sums.max(initial=0.0)) * bounds.of(node.inputs[1 - slot])
    return _terms(bounds, node) * bounds.of(node.inputs[0]) * bounds.of(node.inputs[1])


def _terms(bounds: _Bounds, node: Node) -> float:
    """How many products are summed where both inputs are computed."""
    shape = bounds.graph.type(node.inputs[0]).shape
    if node.type not in ("Gemm", "MatMul") or not shape:
        return math.inf
    count = shape[0 if node.attributes.get("transA") else -1]
    return count if isinstance(count, int) else math.inf


_RULES: Final[Mapping[str, Callable[[_Bounds, Node], float]]] = {
    "Add": _sum,
    "BatchNormalization": _batch_normalized,
    "Cast": _cast,
    "Clip": _clipped,
    "Conv": _matrix_product,
    "ConvTranspose": _matrix_product,
    "DequantizeLinear": _dequantized,
    "Div": _quotient,
    "Einsum": _einsum,
    "Exp": _exponential,
    "Gemm": _matrix_product,
    "GroupNormalization": _normalized,
    "InstanceNormalization": _normalized,
    "LayerNormalization": _normalized,
    "LeakyRelu": _leaky,
    "MatMul": _matrix_product,
    "Mul": _product,
    "PRelu": _leaky,
    "Pow": _power,
    "ReduceSum": _total,
    "Resize": _resized,
    "Sqrt": lambda bounds, node: math.sqrt(bounds.of(node.inputs[0])),
    "Sub": _sum,
    "Sum": _sum,
}
