"""Plan x scales x model -> Q/DQ model. Everything that has no pair stays byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from onnxq.diagnostics import error, first_line
from onnxq.formats import FORMATS, HALF_SCALES
from onnxq.insertion.provenance import edited_scales
from onnxq.insertion.scale_table import Scale, Scales, require_shape, scale_shape
from onnxq.model.constants import Constants
from onnxq.model.early_constants import delay, early_constant
from onnxq.model.graph import Edge
from onnxq.model.metadata import record
from onnxq.model.preparing import QDQ_OPSET, prepare, raised
from onnxq.model.pruning import drop_unread
from onnxq.model.scopes import Scope, defined, names, nodes, owner, scopes
from onnxq.model.weights import as_inputs
from onnxq.planning.plan import Pair, Plan
from onnxq.quantization import quantize

Weights = Literal["int8", "qdq"]


def insert(
    model: onnx.ModelProto,
    plan: Plan,
    scales: Scales,
    *,
    weights: Weights = "int8",
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Return a copy of the model with a Q/DQ pair for every pair of the plan.

    Weights become initializers of their quantized type behind a DequantizeLinear; a float weight
    that no node reads any more is dropped. With `weights` "qdq" they stay as they are, behind a
    whole pair, and `narrow_range` has no effect. The opset is raised to the first that has the
    types of the plan. Scales of activations are scalars, zero points are zeros of the type, axes
    are explicit (`docs/guide/insert.md` says why TensorRT needs each). Nodes without a unique name
    get one. Everything else stays unchanged, and so does the model that is passed in. The metadata
    name the tensors whose scales were replaced by hand (`Scales.replaced`).

    Raises OQ304 when the plan was made of the model before `model.prepare` renamed its tensors,
    OQ419 when the shape of a scale does not fit its weight, and OQ503 when a valid model would
    become one that onnx.checker refuses.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    result = with_types(prepare(copy), plan)
    _require_sites(result, plan)
    edit = _Insertion(result.graph, weights)
    for pair, scale in scales.by_pair.items():
        edit.insert(pair, scale)
    edit.finish()
    while (early := early_constant(result.graph)) is not None and delay(result.graph, early):
        pass
    drop_unread(result.graph, {p.tensor for p in plan.pairs if p.kind == "weight"})
    record(result, {**(metadata or {}), **edited_scales(scales.edited)})
    _require_valid(result, model)
    return result


def with_types(model: onnx.ModelProto, plan: Plan, least: int = QDQ_OPSET) -> onnx.ModelProto:
    """Return a prepared model at an opset whose Q/DQ have the types of the plan (OQ304).

    It is the first such opset from `least` on, or the model's own.
    """
    return raised(model, max(least, opset_of_pairs(plan)))


def opset_of_pairs(plan: Plan) -> int:
    """The first opset whose Q/DQ have the types of the plan."""
    opsets = [FORMATS[p.descriptor.dtype].opset for p in plan.pairs]
    half = [HALF_SCALES for p in plan.pairs if p.is_half]
    return max((*opsets, *half), default=QDQ_OPSET)


def _require_sites(model: onnx.ModelProto, plan: Plan) -> None:
    inputs = {n.name: n.input for _, n in nodes(model.graph)}
    for pair in plan.pairs:
        for edge in pair.edges:
            slots = inputs.get(edge.node, ())
            if edge.slot >= len(slots) or slots[edge.slot] != pair.tensor:
                raise error(
                    "OQ304",
                    f"the plan's '{pair.tensor}' is not input {edge.slot} of '{edge.node}' once "
                    "the model is prepared",
                    fix="plan and calibrate the model that onnxq.load returns",
                )


def _require_valid(result: onnx.ModelProto, model: onnx.ModelProto) -> None:
    message = fault(result)
    if message and not fault(model):
        raise error(
            "OQ503",
            f"the Q/DQ model would not be valid: {message}",
            fix="report this to onnxq with the model; nothing was written",
        )


def fault(model: onnx.ModelProto, *, full: bool = False) -> str:
    """The error of onnx.checker for a model, of its inferred types too if `full`; '' if none."""
    try:
        onnx.checker.check_model(as_inputs(model), full_check=full)
    except Exception as reason:  # it raises ValidationError, and others on what it cannot parse
        return first_line(reason)
    return ""


class _Insertion:
    """The edit in progress of a graph and of the bodies in it, in place."""

    def __init__(self, graph: onnx.GraphProto, weights: Weights) -> None:
        self._graph = graph
        self._weights = weights
        self._constants = Constants(graph)
        self._taken = names(graph)
        self._nodes = {n.name: n for _, n in nodes(graph)}
        self._scopes = {n.name: scope for scope, n in nodes(graph)}
        self._order = {name: index for index, name in enumerate(self._nodes)}
        self._makers = {out: n for _, n in nodes(graph) for out in n.output}
        self._homes = {name: home for home in scopes(graph) for name in defined(home[1])}
        self._before: dict[str, list[onnx.NodeProto]] = {}  # new nodes by the node that follows

    def insert(self, pair: Pair, scale: Scale) -> None:
        """Put a pair on a tensor: a Q where the tensor lies, a DQ in every scope that reads it.

        If the DequantizeLinear of an activation is outside a branch, TensorRT runs the op in the
        branch in float. The DequantizeLinear of a weight is beside the weight, even outside the
        branch: TensorRT does not accept a stored int8 weight from outside without it.
        """
        home, _ = self._home(pair.tensor)
        by_scope: dict[Scope, list[Edge]] = {}
        for edge in pair.edges:
            scope = home if pair.kind == "weight" else self._scopes[edge.node]
            by_scope.setdefault(scope, []).append(edge)
        quantized = self._existing(pair)
        for scope, edges in by_scope.items():
            if pair.existing and self._shares(pair.existing, scope, edges):
                self._wire(edges, pair.existing)
                continue
            suffix = self._free_suffix(pair.tensor)
            quantized = quantized or self._quantized(pair, scale, suffix)
            result = f"{pair.tensor}_dequantized{suffix}"
            dequantize = _node("DequantizeLinear", pair, suffix, quantized, result)
            self._add(scope, edges[0].node, dequantize)
            self._wire(edges, result)

    def _home(self, tensor: str) -> tuple[Scope, onnx.GraphProto]:
        """The graph that makes, takes or stores a tensor."""
        return self._homes.get(tensor, ((), self._graph))

    def _existing(self, pair: Pair) -> list[str] | None:
        """Inputs of the existing pair's DQ, if the existing Q stands before all nodes to wire."""
        if pair.existing is None:
            return None
        inputs = list(self._makers[pair.existing].input)
        quantizer = self._makers[inputs[0]].name
        scope = self._scopes[quantizer]
        inside = all(self._scopes[e.node][: len(scope)] == scope for e in pair.edges)
        return inputs if inside and self._is_before(quantizer, pair.edges) else None

    def _shares(self, tensor: str, scope: Scope, edges: list[Edge]) -> bool:
        """True when a node of the scope makes the tensor before all nodes to wire."""
        maker = self._makers[tensor].name
        return self._scopes[maker] == scope and self._is_before(maker, edges)

    def _is_before(self, node: str, edges: Iterable[Edge]) -> bool:
        return all(self._order[node] < self._order[edge.node] for edge in edges)

    def _quantized(self, pair: Pair, scale: Scale, suffix: str) -> list[str]:
        """Add the constants of a pair, and its Q; return the inputs of the DQ."""
        tensor, to = pair.tensor, FORMATS[pair.descriptor.dtype]
        if pair.kind == "weight":
            require_shape(pair, scale, scale_shape(pair, self._constants.array(tensor).shape))
        name = f"{tensor}_quantized{suffix}"
        is_stored = pair.kind == "weight" and self._weights == "int8"
        if is_stored:
            self._store(tensor, name, self._weight(pair, scale))
        zeros = np.zeros(scale.shape, to.dtype)
        parameters = {
            f"{tensor}_scale{suffix}": scale,
            f"{tensor}_zero_point{suffix}": self._own_zero_point(pair, zeros),
        }
        for parameter, values in parameters.items():
            self._store(tensor, parameter, values)
        if not is_stored:
            node = _node("QuantizeLinear", pair, suffix, [tensor, *parameters], name)
            self._add(self._home(tensor)[0], pair.edges[0].node, node)
        return [name, *parameters]

    def _own_zero_point(self, pair: Pair, zeros: NDArray[Any]) -> NDArray[Any]:
        """The zero point of the pair that a tensor has, with its type; zeros if it has none."""
        if pair.existing is None:
            return zeros
        quantizer = self._makers[self._makers[pair.existing].input[0]]
        if len(quantizer.input) > 2 and quantizer.input[2]:
            return self._constants.array(quantizer.input[2]).reshape(())
        is_typed = any(a.name == "output_dtype" and a.i for a in quantizer.attribute)
        return zeros if is_typed else zeros.astype(np.uint8)  # what ONNX takes for a missing one

    def _weight(self, pair: Pair, scale: Scale) -> NDArray[Any]:
        return quantize(
            self._constants.array(pair.tensor),
            scale,
            axis=pair.axis,
            narrow_range=pair.descriptor.narrow_range,
            dtype=pair.descriptor.dtype,
            block_size=pair.descriptor.block_size,
        )

    def _store(self, tensor: str, name: str, values: NDArray[Any]) -> None:
        """Add an initializer to the graph where a tensor lies."""
        _, graph = self._home(tensor)
        graph.initializer.append(numpy_helper.from_array(values, name))

    def _add(self, scope: Scope, reader: str, node: onnx.NodeProto) -> None:
        """Put a node into a scope, before the reader or the node whose body holds the reader."""
        self._taken.add(node.name)
        deeper = self._scopes[reader][len(scope) :]
        self._before.setdefault(owner(deeper[:1]) if deeper else reader, []).append(node)

    def _wire(self, edges: list[Edge], tensor: str) -> None:
        for edge in edges:
            self._nodes[edge.node].input[edge.slot] = tensor

    def _free_suffix(self, tensor: str) -> str:
        """A suffix that makes every name derived from a tensor new: '' nearly always."""
        stems = ("scale", "zero_point", "quantized", "dequantized")
        names = (*stems, "QuantizeLinear", "DequantizeLinear")
        suffix, count = "", 0
        while any(f"{tensor}_{name}{suffix}" in self._taken for name in names):
            count += 1
            suffix = f"_{count}"
        self._taken.update(f"{tensor}_{stem}{suffix}" for stem in stems)
        return suffix

    def finish(self) -> None:
        """Put every new node right before the first node that reads its output."""
        for _, graph in scopes(self._graph):
            for place in reversed(range(len(graph.node))):
                for node in reversed(self._before.get(graph.node[place].name, [])):
                    graph.node.insert(place, node)


def _node(op: str, pair: Pair, suffix: str, inputs: list[str], output: str) -> onnx.NodeProto:
    """The Q or DQ of a pair."""
    return helper.make_node(
        op,
        inputs,
        [output],
        name=f"{pair.tensor}_{op}{suffix}",
        axis=pair.axis,
        block_size=pair.descriptor.block_size,
    )
