"""The float model under a Q/DQ model: pairs removed, stored int8 weights dequantized."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from onnxq.diagnostics import Diagnostic, warning
from onnxq.model.constants import Constants, no_value
from onnxq.model.inlining import inline_functions
from onnxq.model.metadata import record
from onnxq.model.ops import traits_of, type_of
from onnxq.model.pairs import DEQUANTIZE, QUANTIZE, is_pair_op
from onnxq.model.pruning import drop_unread
from onnxq.model.scale_shapes import is_valid
from onnxq.model.scopes import (
    all_nodes,
    bodies,
    defined,
    names,
    nodes,
    read_names,
    scopes,
    separate_values,
    subgraphs,
)
from onnxq.model.signs import may_be_negative

_SUFFIX: Final = "_quantized"  # of stored weights, by onnxq and by onnxruntime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stripped:
    """A model without its pairs, their numbers, and diagnostics about what stays or changes."""

    model: onnx.ModelProto
    activations: int
    weights: int
    diagnostics: tuple[Diagnostic, ...]


def strip(model: onnx.ModelProto) -> Stripped:
    """Return the float model under a Q/DQ model; the argument is not changed.

    Pairs of activations and of float weights are removed. A stored weight, or an int32 bias,
    becomes a float initializer with the result of its DequantizeLinear, bit for bit: its rounding
    stays. A pair that changes the type, as in a model of mixed precision, becomes a Cast. Ops
    between a Q and its DQ that only move values move floats then. A QuantizeLinear can also cut off
    everything below zero and so replace a Relu, as onnxruntime writes it: a Relu takes its place
    (OQ533). Local functions are inlined when one has pairs. Pairs in subgraphs of other ops than
    If, Loop and Scan stay, and so does half a pair, such as a DequantizeLinear of an integer input
    (OQ532). Nothing else changes, except that values of bodies get unique names where a body has
    pairs.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if any(_pair_nodes(n for f in copy.functions for n in f.node)):
        inline_functions(copy)
    if any(scope for scope, node in nodes(copy.graph) if is_pair_op(node)):
        separate_values(copy.graph)
    edit = _Strip(copy.graph)
    edit.run()
    record(copy, {})
    return Stripped(
        model=copy,
        activations=edit.activations,
        weights=edit.weights,
        diagnostics=tuple(_diagnostics(copy, edit.cut)),
    )


def _diagnostics(model: onnx.ModelProto, cut: list[str]) -> Iterator[Diagnostic]:
    if cut:
        yield warning(
            "OQ533",
            f"{len(cut)} QuantizeLinear cut off what is below zero, such as '{cut[0]}'; a Relu "
            "stands in place of each",
            fix="compare with the float model, if you have it",
        )
    if left := list(pairs_left(model)):
        yield warning(
            "OQ532",
            f"{len(left)} Q/DQ nodes stay, such as {left[0].op_type} '{left[0].name}': in a "
            "function, a subgraph but of If, Loop or Scan, or without the other half of a pair",
            fix="give the float model that it was made from",
        )


def pairs_left(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Every Q/DQ node of a model, of its subgraphs and of its functions."""
    for body in (model.graph, *model.functions):
        yield from _pair_nodes(body.node)


def _pair_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    return filter(is_pair_op, all_nodes(nodes))


class _Strip:
    """The edit of a graph and of its bodies, in place."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = Constants(graph)
        self._graphs = [inner for _, inner in scopes(graph)]
        self._makers = {out: n for _, n in nodes(graph) for out in n.output if out}
        self._home = {name: g for g in self._graphs for name in defined(g)}
        self._stored: dict[bytes, str] = {}  # names of stored results, by DequantizeLinear
        self._readers: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
        for _, node in nodes(graph):
            for slot, tensor in enumerate(node.input):
                self._readers.setdefault(tensor, []).append((node, slot))
        self._fixed = {o.name for g in self._graphs for o in g.output} | _read_by_others(graph)
        self._taken = names(graph)
        self._instead: dict[str, str] = {}  # tensor -> the tensor that its readers read instead
        self._floats: dict[str, int] = {}  # integer tensors that become float, with the type
        self._emptied: set[str] = set()  # inputs of the removed nodes
        self.activations = self.weights = 0
        self.cut: list[str] = []

    def run(self) -> None:
        self._edit(self._graph)
        graphs = [inner for _, inner in scopes(self._graph)]
        gone = self._floats.keys() | set(self._instead)
        for graph in graphs:
            _rename_inputs(graph, self._instead)
            values = [v for v in graph.value_info if v.name not in gone]
            del graph.value_info[:]
            graph.value_info.extend(values)
        drop_unread(self._graph, self._emptied)

    def _edit(self, graph: onnx.GraphProto) -> None:
        kept = []
        for node in graph.node:  # in the order in which they compute
            for _, body in bodies(node):
                self._edit(body)
            if (edited := self._edited(node)) is not None:
                kept.append(edited)
        del graph.node[:]
        graph.node.extend(kept)

    def _edited(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """The node as it stays, or None."""
        if is_pair_op(node, QUANTIZE):
            return self._without_quantize(node)
        if is_pair_op(node, DEQUANTIZE):
            return self._without_dequantize(node)
        if node.input and node.input[0] in self._floats:
            self._floats |= dict.fromkeys(node.output, self._floats[node.input[0]])
        return node

    def _without_quantize(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        if not self._only_dequantized(node.output[0]):
            return node
        self._floats[node.output[0]] = self._scale_type(node)
        self._emptied.update(node.input[1:])
        if self._cuts(node):
            self.cut.append(node.name)
            return onnx.helper.make_node("Relu", node.input[:1], node.output, name=node.name)
        self._instead[node.output[0]] = node.input[0]
        return None

    def _without_dequantize(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        source, result = node.input[0], node.output[0]
        if source in self._floats:
            self.activations += 1
            self._emptied.update(node.input[1:])
            if (to := self._scale_type(node)) and to != (self._floats[source] or to):
                return onnx.helper.make_node("Cast", [source], [result], name=node.name, to=to)
        elif all(not name or name in self._constants for name in node.input):
            self.weights += 1
            source = self._store(node)
            self._emptied.update(node.input)
        else:
            return node
        if result in self._fixed:  # its name is the graph's interface
            return onnx.helper.make_node("Identity", [source], [result], name=node.name)
        self._instead[result] = source
        return None

    def _scale_type(self, node: onnx.NodeProto) -> int:
        """The type of a pair's float side, as onnx.TensorProto numbers it; 0 if not known."""
        scale = self._constants.stored().get(node.input[1])
        return 0 if scale is None else scale.data_type

    def _store(self, node: onnx.NodeProto) -> str:
        """Add the float initializer of a stored constant, in the graph that has the constant.

        It gets the name that the weight had before onnxq, where that is free. DequantizeLinear
        nodes that compute the same share it.
        """
        alike = onnx.NodeProto(input=node.input, attribute=node.attribute).SerializeToString()
        if alike in self._stored:
            return self._stored[alike]
        name = str(node.input[0]).removesuffix(_SUFFIX)
        while name in self._taken:
            name += "_dequantized"
        self._taken.add(name)
        values = dequantized(node, self._constants)
        graph = self._home.get(node.input[0], self._graph)
        graph.initializer.append(numpy_helper.from_array(values, name))
        self._stored[alike] = name
        return name

    def _only_dequantized(self, tensor: str) -> bool:
        """True for integers that only DequantizeLinear nodes read, also behind moves."""
        return tensor not in self._fixed and all(
            slot == 0
            and (
                is_pair_op(node, DEQUANTIZE)
                or (_moves(node) and all(map(self._only_dequantized, filter(None, node.output))))
            )
            for node, slot in self._readers.get(tensor, ())
        )

    def _cuts(self, node: onnx.NodeProto) -> bool:
        """True when the lowest integer stands for zero, and negative values may arrive."""
        point = node.input[2] if len(node.input) > 2 else ""
        if point and (point not in self._constants or not _lowest(self._constants.array(point))):
            return False
        # Without a zero point it is uint8. An input of the model never had a Relu in front.
        return may_be_negative(node.input[0], self._maker, sources=False)

    def _maker(self, tensor: str) -> tuple[str, Sequence[str]] | None:
        node = self._makers.get(tensor)
        return None if node is None or tensor in self._constants else (type_of(node), node.input)


def dequantized(node: onnx.NodeProto, constants: Constants) -> NDArray[Any]:
    """The result of a DequantizeLinear of constants (OQ309)."""
    plain = onnx.NodeProto()
    plain.CopyFrom(node)
    plain.domain = ""
    options = {a.name: a.i for a in node.attribute}
    shapes = [constants.array(name).shape for name in node.input[:2]]
    if not is_valid(shapes[1], shapes[0], options.get("axis", 1), options.get("block_size", 0)):
        raise no_value(plain, constants, "the scales do not fit")
    return constants.results(plain)[node.output[0]]


def _lowest(zero_point: NDArray[Any]) -> bool:
    """True when all of it is the least integer of its type."""
    return zero_point.dtype.kind in "iu" and bool(
        (zero_point == np.iinfo(zero_point.dtype).min).all()
    )


def _moves(node: onnx.NodeProto) -> bool:
    return traits_of(type_of(node)).moves


def _read_by_others(graph: onnx.GraphProto) -> set[str]:
    """Names that subgraphs of other ops than If, Loop and Scan read or give out."""
    names: set[str] = set()
    for _, node in nodes(graph):
        if not any(True for _ in bodies(node)):
            for _, inner in subgraphs(node):
                names |= read_names(inner.node) | {o.name for o in inner.output}
    return names


def _rename_inputs(graph: onnx.GraphProto, instead: Mapping[str, str]) -> None:
    """Let every node read the replacement of a tensor, also through several replacements."""
    for node in graph.node:
        for slot, name in enumerate(list(node.input)):
            while name in instead:
                name = instead[name]
            node.input[slot] = name
