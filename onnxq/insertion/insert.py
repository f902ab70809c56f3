"""Plan x scales x model -> Q/DQ model. graphsurgeon edits; what was not edited stays as it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx_graphsurgeon.ir.tensor import LazyValues
from onnx_graphsurgeon.logger import G_LOGGER

from onnxq.diagnostics import error, first_line
from onnxq.formats import FORMATS, HALF_SCALES, Format
from onnxq.insertion.scales import Scale, Scales
from onnxq.model.constants import Constants
from onnxq.model.graph import Edge
from onnxq.model.io import QDQ_OPSET, prepare, raised
from onnxq.model.metadata import record
from onnxq.model.scopes import Scope, bodies, defined, has_bodies, names, nodes, owner, scopes
from onnxq.model.unread import drop_unread
from onnxq.model.weights import as_inputs, tensors
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
    that nobody reads any more is dropped. With `weights` "qdq" they stay as they are, behind a
    whole pair, and `narrow_range` has no effect. The opset is raised to the first that has the
    types of the plan. Scales of activations are scalars, zero points zeros of the type, axes
    explicit (`docs/guide.md` says why TensorRT needs each). Nodes without a name of their own get
    one. Everything else is taken over unchanged. The model itself is not changed.
    Raises OQ304 when the plan was made of the model before `model.prepare` renamed its tensors, and
    OQ503 when a valid model would become one that onnx.checker refuses.
    """
    original = onnx.ModelProto()
    original.CopyFrom(model)
    original = with_types(prepare(original), plan)
    _require_sites(original, plan)
    with _quiet_graphsurgeon():
        surgeon = _Surgeon(original, weights)
        for pair, scale in scales.by_pair.items():
            surgeon.insert(pair, scale)
        edited = surgeon.finished()
    result = _transplant(edited, original, surgeon.beside)
    drop_unread(result.graph, {p.tensor for p in plan.pairs if p.kind == "weight"})
    _fill(result, surgeon.stored)
    record(result, metadata or {})
    _require_valid(result, model)
    return result


def with_types(model: onnx.ModelProto, plan: Plan) -> onnx.ModelProto:
    """Return a prepared model at an opset whose Q/DQ have the types of the plan (OQ304)."""
    opsets = [FORMATS[p.descriptor.dtype].opset for p in plan.pairs]
    half = [HALF_SCALES for p in plan.pairs if p.is_half]
    return raised(model, max((*opsets, *half), default=QDQ_OPSET))


@contextmanager
def _quiet_graphsurgeon() -> Iterator[None]:
    """Its warnings go to stdout, where our results are, and tell our users nothing."""
    before = G_LOGGER.severity
    G_LOGGER.severity = G_LOGGER.ERROR
    try:
        yield
    finally:
        G_LOGGER.severity = before


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
                    fix="plan and calibrate what onnxq.model.io.prepare returns",
                )


def _require_valid(result: onnx.ModelProto, model: onnx.ModelProto) -> None:
    found = fault(result)
    if found and not fault(model):
        raise error(
            "OQ503",
            f"the Q/DQ model would not be valid: {found}",
            fix="report this to onnxq with the model; nothing was written",
        )


def fault(model: onnx.ModelProto, *, full: bool = False) -> str:
    """What onnx.checker finds wrong with a model, all types too if `full`; '' for nothing."""
    try:
        onnx.checker.check_model(as_inputs(model), full_check=full)
    except Exception as reason:  # it raises ValidationError, and others on what it cannot parse
        return first_line(reason)
    return ""


class _Surgeon:
    """The edit in progress on a graphsurgeon graph and its bodies."""

    def __init__(self, model: onnx.ModelProto, weights: Weights) -> None:
        self._weights = weights
        self._graph = gs.import_onnx(model)
        self._graphs = list(_with_bodies(self._graph))
        self._nodes = {n.name: n for graph in self._graphs for n in graph.nodes}
        self._tensors = {k: t for graph in self._graphs for k, t in graph.tensors().items()}
        self._constants = Constants(model.graph)
        self._taken = names(model.graph)
        self._before: dict[str, list[gs.Node]] = {}  # new nodes by the node they stand before
        self._nameless = [t for t in tensors(model) if not t.HasField("name")]
        self._scopes = {node.name: scope for scope, node in nodes(model.graph)}  # in order
        self._homes = {name: s for s, graph in scopes(model.graph) for name in defined(graph)}
        self._order = {name: index for index, name in enumerate(self._scopes)}
        self._made = {out: n.name for _, n in nodes(model.graph) for out in n.output}
        self.stored: dict[str, NDArray[Any]] = {}  # quantized weights, which gs need not copy
        self.beside: dict[str, str] = {}  # new initializers, and the tensor that each lies beside

    def insert(self, pair: Pair, scale: Scale) -> None:
        """Put a pair on a tensor: a Q where the tensor lies, a DQ in every scope that reads it.

        That of a weight stands where the weight lies. TensorRT runs an op of a branch in float when
        the DequantizeLinear of its activation stands outside, and takes no stored int8 from there
        without one.
        """
        home = self._homes.get(pair.tensor, ())
        by_scope: dict[Scope, list[Edge]] = {}
        for edge in pair.edges:
            scope = home if pair.kind == "weight" else self._scopes[edge.node]
            by_scope.setdefault(scope, []).append(edge)
        quantized = self._existing(pair)
        for scope, edges in by_scope.items():
            if pair.existing and self._shares(pair.existing, scope, edges):
                self._wire(edges, self._tensors[pair.existing])
                continue
            suffix = self._free_suffix(pair.tensor)
            quantized = quantized or self._quantized(pair, scale, suffix)
            result = gs.Variable(f"{pair.tensor}_dequantized{suffix}")
            name = f"{pair.tensor}_DequantizeLinear{suffix}"
            self._add(
                scope,
                edges[0].node,
                gs.Node("DequantizeLinear", name, _attributes(pair), quantized, [result]),
            )
            self._wire(edges, result)

    def _existing(self, pair: Pair) -> list[gs.Tensor] | None:
        """What the pair that a tensor has dequantizes, if its Q stands before all that read it."""
        if pair.existing is None:
            return None
        inputs = self._nodes[self._made[pair.existing]].inputs
        quantizer = self._made[inputs[0].name]
        scope = self._scopes[quantizer]
        inside = all(self._scopes[e.node][: len(scope)] == scope for e in pair.edges)
        return list(inputs) if inside and self._is_before(quantizer, pair.edges) else None

    def _shares(self, tensor: str, scope: Scope, edges: list[Edge]) -> bool:
        """True when a result stands in a scope, before all that shall read it there."""
        maker = self._made[tensor]
        return self._scopes[maker] == scope and self._is_before(maker, edges)

    def _is_before(self, node: str, edges: Iterable[Edge]) -> bool:
        return all(self._order[node] < self._order[edge.node] for edge in edges)

    def _quantized(self, pair: Pair, scale: Scale, suffix: str) -> list[gs.Tensor]:
        """Add the constants of a pair, and its Q; return what a DQ reads."""
        to = FORMATS[pair.descriptor.dtype]
        parameters = [
            gs.Constant(f"{pair.tensor}_scale{suffix}", scale),
            _zeros(f"{pair.tensor}_zero_point{suffix}", scale.shape, to),
        ]
        self.beside |= {constant.name: pair.tensor for constant in parameters}
        name = f"{pair.tensor}_quantized{suffix}"
        if pair.kind == "weight" and self._weights == "int8":
            values = self._constants.array(pair.tensor)
            self.stored[name] = quantize(
                values,
                scale,
                axis=pair.axis,
                narrow_range=pair.descriptor.narrow_range,
                dtype=pair.descriptor.dtype,
                block_size=pair.descriptor.block_size,
            )
            self.beside[name] = pair.tensor
            empty = onnx.TensorProto(name=name, data_type=to.proto, dims=values.shape)
            return [gs.Constant(name, LazyValues(empty)), *parameters]
        quantized = gs.Variable(name)
        self._add(
            self._homes.get(pair.tensor, ()),
            pair.edges[0].node,
            gs.Node(
                "QuantizeLinear",
                f"{pair.tensor}_QuantizeLinear{suffix}",
                _attributes(pair),
                [self._tensors[pair.tensor], *parameters],
                [quantized],
            ),
        )
        return [quantized, *parameters]

    def _add(self, scope: Scope, reader: str, node: gs.Node) -> None:
        """Put a new node into a scope, before the node there that reads it or whose bodies do."""
        self._taken.add(node.name)
        deeper = self._scopes[reader][len(scope) :]
        self._before.setdefault(owner(deeper[:1]) if deeper else reader, []).append(node)

    def _wire(self, edges: list[Edge], tensor: gs.Tensor) -> None:
        for edge in edges:
            self._nodes[edge.node].inputs[edge.slot] = tensor

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

    def finished(self) -> onnx.ModelProto:
        """Export, with every new node right before the first that reads it."""
        for graph in self._graphs:
            graph.nodes = [
                node for old in graph.nodes for node in (*self._before.get(old.name, ()), old)
            ]
            _forget_types(graph)
        exported: onnx.ModelProto = gs.export_onnx(self._graph, do_type_check=False)
        for value in self._nameless:  # the export gives them a name, in the original itself
            value.ClearField("name")
        return exported


def _attributes(pair: Pair) -> dict[str, int]:
    attributes = {} if pair.axis is None else {"axis": pair.axis}
    if pair.descriptor.block_size is not None:
        attributes["block_size"] = pair.descriptor.block_size
    return attributes


def _forget_types(graph: gs.Graph) -> None:
    """Drop types of values, which stay as the model has them: the export fails on optional ones."""
    for value in (*graph.inputs, *graph.outputs, *graph.tensors().values()):
        if isinstance(value, gs.Variable):
            value.dtype = None


def _with_bodies(graph: gs.Graph) -> Iterator[gs.Graph]:
    """A graphsurgeon graph and the bodies in it, as `scopes` walks over those of a GraphProto."""
    yield graph
    for node in graph.nodes:
        if has_bodies(node.op, node.domain or ""):
            for body in (a for a in node.attrs.values() if isinstance(a, gs.Graph)):
                yield from _with_bodies(body)


def _transplant(
    edited: onnx.ModelProto, original: onnx.ModelProto, beside: Mapping[str, str]
) -> onnx.ModelProto:
    """Put the edited graph's wiring and new initializers into the original.

    graphsurgeon's export drops doc strings, metadata and initializers that no node reads, so what
    it did not make itself is taken from the original, byte for byte. A new initializer lies in the
    graph that makes, takes or stores the tensor that it belongs to.
    """
    _rewire(edited.graph, original.graph)
    made = {t.name: t for _, graph in scopes(edited.graph) for t in graph.initializer}
    homes = {name: graph for _, graph in scopes(original.graph) for name in defined(graph)}
    for name, tensor in made.items():
        if name in beside:
            homes[beside[name]].initializer.append(tensor)
    return original


def _rewire(edited: onnx.GraphProto, original: onnx.GraphProto) -> None:
    before = {n.name: n for n in original.node}
    wired = []
    for node in edited.node:
        kept = onnx.NodeProto()
        kept.CopyFrom(before.get(node.name, node))
        kept.input[:] = node.input
        after = dict(bodies(node))
        for name, body in bodies(kept):
            _rewire(after[name], body)
        wired.append(kept)
    del original.node[:]
    original.node.extend(wired)


def _zeros(name: str, shape: tuple[int, ...], to: Format) -> gs.Constant:
    """A zero point, as a tensor that is made already: gs does not know every type."""
    return gs.Constant(name, LazyValues(numpy_helper.from_array(np.zeros(shape, to.dtype), name)))


def _fill(model: onnx.ModelProto, stored: dict[str, NDArray[Any]]) -> None:
    """Give the quantized weights their values, in place, and let go of the arrays."""
    for tensor in (t for _, graph in scopes(model.graph) for t in graph.initializer):
        if tensor.name in stored:
            tensor.raw_data = numpy_helper.from_array(stored.pop(tensor.name)).raw_data
