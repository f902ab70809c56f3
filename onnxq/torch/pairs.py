"""The Q/DQ pairs of a model, each as one quantizer that torch computes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from ml_dtypes import iinfo
from numpy.typing import NDArray
from onnx import TensorProto, helper

from onnxq.diagnostics import OnnxqError, error
from onnxq.formats import FORMATS, format_of, type_name
from onnxq.model.graph import Graph, Node
from onnxq.model.node_inputs import attribute, data_inputs
from onnxq.model.pairs import DEQUANTIZE, QUANTIZE, is_pair_node
from onnxq.torch_graph.fake_quantization import Grid

_INTEGERS: Final = {
    *(TensorProto.INT4, TensorProto.UINT4, TensorProto.INT8, TensorProto.UINT8),
    *(TensorProto.INT16, TensorProto.UINT16, TensorProto.INT32),
}

# What may stand between a Q and its DQ: it gives values of its data on, and none of its own.
_MOVES: Final = frozenset({
    *("Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Reshape"),
    *("Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"),
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedTensor:
    """A tensor with a pair: what it is called, the node that quantizes it, and how.

    `node` is a QuantizeLinear; of a constant that is `stored` in quantized form it is the
    DequantizeLinear. `scales` are the constants that hold the scale, of the Q and of its DQs.
    `is_weight` is true where nothing but constants is behind the tensor.
    """

    name: str
    tensor: str
    node: str
    scales: tuple[str, ...]
    grid: Grid
    zero_point: int
    stored: bool
    is_weight: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedTensors:
    """All pairs of a model; `passing` are the DequantizeLinear nodes whose Q has done their part.

    Between a Q and its DQs a tensor has its dequantized values, so that ops which move integers
    move these.
    """

    tensors: tuple[QuantizedTensor, ...]
    passing: frozenset[str]


def quantized_tensors(graph: Graph) -> QuantizedTensors:
    """The pairs of a prepared model.

    Raises OQ703 for a scale or zero point that is computed, several zero points in one tensor, a
    DequantizeLinear of what no QuantizeLinear made, or one with another scale than its Q.
    """
    readers: dict[str, list[Node]] = {}
    stored: list[Node] = []
    for node in filter(lambda n: is_pair_node(n, DEQUANTIZE), graph.nodes):
        if graph.is_constant(node.inputs[0]):
            stored.append(node)
            continue
        sources = list(_sources(graph, node))
        if not sources:
            raise _not_trainable(node, "no QuantizeLinear makes what it reads")
        for quantize in sources:
            _require_same_scale(graph, quantize, node)
            readers.setdefault(quantize.name, []).append(node)
    pairs = [n for n in graph.nodes if is_pair_node(n, QUANTIZE) or n in stored]
    for quantize in filter(lambda n: is_pair_node(n, QUANTIZE), pairs):
        _require_dequantized(graph, quantize, quantize.outputs[0])
    _require_one_scale(graph, stored)
    names = dict(_names(pairs))
    return QuantizedTensors(
        tensors=tuple(_tensor(graph, n, names[n.name], readers.get(n.name, ())) for n in pairs),
        passing=frozenset(n.name for dequantizes in readers.values() for n in dequantizes),
    )


def _names(pairs: list[Node]) -> Iterator[tuple[str, str]]:
    """What the quantizer of a node is called: as its tensor; as the node where others are so."""
    taken = set[str]()
    for node in pairs:
        name = node.inputs[0] if node.inputs[0] not in taken else node.name
        while name in taken:
            name += "'"
        taken.add(name)
        yield node.name, name


def _require_dequantized(graph: Graph, quantize: Node, tensor: str) -> None:
    """Raise OQ703 where something reads integers that neither moves nor dequantizes them."""
    if tensor in graph.given_out:
        raise _not_trainable(quantize, "its integers are an output of the model")
    for edge in graph.consumers(tensor):
        node = graph.by_name[edge.node]
        if is_pair_node(node, DEQUANTIZE) and edge.slot == 0:
            continue
        if node.type not in _MOVES or any(graph.is_constant(t) for _, t in data_inputs(node)):
            raise _not_trainable(quantize, f"{node.type} '{node.name}' computes with its integers")
        for out in filter(None, node.outputs):
            _require_dequantized(graph, quantize, out)


def _require_one_scale(graph: Graph, stored: list[Node]) -> None:
    """Raise OQ703 for stored integers that are dequantized in two ways."""
    first: dict[str, Node] = {}
    for node in stored:
        other = first.setdefault(node.inputs[0], node)
        same = np.array_equal(_scale(graph, node), _scale(graph, other))
        if not same or node.attributes != other.attributes:
            raise _not_trainable(node, f"'{other.name}' reads its integers with another scale")


def _sources(graph: Graph, dequantize: Node) -> Iterator[Node]:
    """The QuantizeLinear nodes whose integers a DequantizeLinear reads, also behind moves."""
    wanted, visited = [dequantize.inputs[0]], set[str]()
    while wanted:
        tensor = wanted.pop()
        node = graph.producer(tensor)
        if node is not None and is_pair_node(node, QUANTIZE):
            yield node
        elif node is not None and node.name not in visited:
            visited.add(node.name)
            proto = graph.type(tensor).dtype
            wanted += [t for t in node.inputs if t and graph.type(t).dtype == proto]


def _require_same_scale(graph: Graph, quantize: Node, dequantize: Node) -> None:
    scales = [_scale(graph, node).reshape(-1) for node in (quantize, dequantize)]
    has_same = bool(np.array_equal(scales[0], scales[1]))
    if not has_same or _zero_point(graph, quantize) != _zero_point(graph, dequantize):
        raise _not_trainable(dequantize, f"its scale is not that of '{quantize.name}'")


def _tensor(
    graph: Graph, node: Node, name: str, dequantizes: tuple[Node, ...] | list[Node]
) -> QuantizedTensor:
    zero_point = _zero_point(graph, node)
    stored = node.op == DEQUANTIZE
    if stored and not graph.is_stored(node.inputs[0]):
        raise _not_trainable(node, "its constant is computed from others")
    return QuantizedTensor(
        name=name,
        tensor=node.inputs[0],
        node=node.name,
        scales=tuple(dict.fromkeys(n.inputs[1] for n in (node, *dequantizes))),
        grid=_grid(graph, node, zero_point),
        zero_point=zero_point,
        stored=stored,
        is_weight=graph.is_constant(node.inputs[0]),
    )


def _grid(graph: Graph, node: Node, zero_point: int) -> Grid:
    proto = graph.type(node.inputs[0] if node.op == DEQUANTIZE else node.outputs[0]).dtype
    scale = _scale(graph, node)
    block_size = node.attributes.get("block_size") or None
    is_whole = block_size is None and scale.size == 1
    axis = None if is_whole else attribute(node, "axis")
    if proto in _INTEGERS:
        limits = iinfo(helper.tensor_dtype_to_np_dtype(proto))  # type: ignore[no-untyped-call]
        lowest, largest = (int(limit) - zero_point for limit in (limits.min, limits.max))
        return Grid(lowest=lowest, largest=largest, axis=axis, block_size=block_size)
    if format_of(proto) != "fp8e4m3":
        raise _not_trainable(node, f"torch has no {type_name(proto)}")
    end = FORMATS["fp8e4m3"].largest
    return Grid(lowest=-end, largest=end, is_integer=False, axis=axis, block_size=block_size)


def _scale(graph: Graph, node: Node) -> NDArray[Any]:
    if not graph.is_stored(node.inputs[1]):
        raise _not_trainable(node, "its scale is computed")
    return graph.array(node.inputs[1])


def _zero_point(graph: Graph, node: Node) -> int:
    """The one zero point of a node; 0 where it has none."""
    if len(node.inputs) < 3 or not node.inputs[2]:
        return 0
    if not graph.is_constant(node.inputs[2]):
        raise _not_trainable(node, "its zero point is computed")
    points = {int(p) for p in graph.array(node.inputs[2]).astype(np.float64).reshape(-1)}
    if len(points) > 1:
        raise _not_trainable(node, "it has several zero points")
    return points.pop() if points else 0


def _not_trainable(node: Node, why: str) -> OnnxqError:
    return error(
        "OQ703",
        f"{node.op} '{node.name}' is no pair that torch can train: {why}",
        fix="onnxq lint --fix repairs some; else quantize the float model with onnxq",
    )
