"""Plan x scales x model -> Q/DQ model. graphsurgeon edits; what was not edited stays as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from onnxq.model.io import QDQ_OPSET, names, prepare, raised
from onnxq.model.metadata import record
from onnxq.model.unread import drop_unread
from onnxq.model.weights import as_inputs, tensors
from onnxq.planning.plan import Pair, Plan
from onnxq.tensor_quant import quantize

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
        for pair in plan.pairs:
            surgeon.insert(pair, scales[pair])
        edited = surgeon.finished()
    result = _transplant(edited, original)
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
    inputs = {n.name: n.input for n in model.graph.node}
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
    """The edit in progress on a graphsurgeon graph."""

    def __init__(self, model: onnx.ModelProto, weights: Weights) -> None:
        self._weights = weights
        self._graph = gs.import_onnx(model)
        self._nodes = {n.name: n for n in self._graph.nodes}
        self._tensors = self._graph.tensors()
        self._constants = Constants(model.graph)
        self._taken = names(model.graph)
        self._before: dict[str, list[gs.Node]] = {}  # new nodes by the node they stand before
        self._nameless = [t for t in tensors(model) if not t.HasField("name")]
        self._order = {node.name: index for index, node in enumerate(model.graph.node)}
        self._made = {out: n.name for n in model.graph.node for out in n.output}
        self.stored: dict[str, NDArray[Any]] = {}  # quantized weights, which gs need not copy

    def insert(self, pair: Pair, scale: Scale) -> None:
        if pair.existing and self._stands_before(pair.existing, pair):
            self._wire(pair, self._tensors[pair.existing])
            return
        tensor = self._tensors[pair.tensor]
        suffix = self._free_suffix(pair.tensor)
        to = FORMATS[pair.descriptor.dtype]
        attributes = {} if pair.axis is None else {"axis": pair.axis}
        if pair.descriptor.block_size is not None:
            attributes["block_size"] = pair.descriptor.block_size
        parameters = [
            gs.Constant(f"{pair.tensor}_scale{suffix}", scale),
            _zeros(f"{pair.tensor}_zero_point{suffix}", scale.shape, to),
        ]
        nodes = []
        if pair.kind == "weight" and self._weights == "int8":
            values = self._constants.array(pair.tensor)
            name = f"{pair.tensor}_quantized{suffix}"
            self.stored[name] = quantize(
                values,
                scale,
                axis=pair.axis,
                narrow_range=pair.descriptor.narrow_range,
                dtype=pair.descriptor.dtype,
                block_size=pair.descriptor.block_size,
            )
            empty = onnx.TensorProto(name=name, data_type=to.proto, dims=values.shape)
            quantized = gs.Constant(name, LazyValues(empty))
        else:
            quantized = gs.Variable(f"{pair.tensor}_quantized{suffix}")
            nodes.append(
                gs.Node(
                    "QuantizeLinear",
                    f"{pair.tensor}_QuantizeLinear{suffix}",
                    dict(attributes),
                    [tensor, *parameters],
                    [quantized],
                )
            )
        dequantized = gs.Variable(f"{pair.tensor}_dequantized{suffix}")
        nodes.append(
            gs.Node(
                "DequantizeLinear",
                f"{pair.tensor}_DequantizeLinear{suffix}",
                attributes,
                [quantized, *parameters],
                [dequantized],
            )
        )
        self._taken.update(n.name for n in nodes)
        self._wire(pair, dequantized)
        self._before.setdefault(pair.edges[0].node, []).extend(nodes)

    def _wire(self, pair: Pair, tensor: gs.Tensor) -> None:
        for edge in pair.edges:
            self._nodes[edge.node].inputs[edge.slot] = tensor

    def _stands_before(self, tensor: str, pair: Pair) -> bool:
        """True when the node that makes a tensor comes before all that read the pair."""
        made = self._order[self._made[tensor]]
        return all(made < self._order[edge.node] for edge in pair.edges)

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
        self._graph.nodes = [
            node for old in self._graph.nodes for node in (*self._before.get(old.name, ()), old)
        ]
        exported: onnx.ModelProto = gs.export_onnx(self._graph, do_type_check=False)
        for value in self._nameless:  # the export gives them a name, in the original itself
            value.ClearField("name")
        return exported


def _transplant(edited: onnx.ModelProto, original: onnx.ModelProto) -> onnx.ModelProto:
    """Put the edited graph's wiring and new initializers into the original.

    graphsurgeon's export drops doc strings, metadata and initializers that no node reads, so what
    it did not make itself is taken from the original, byte for byte.
    """
    nodes = {n.name: n for n in original.graph.node}
    tensors = {t.name for t in original.graph.initializer}
    wired = []
    for node in edited.graph.node:
        kept = onnx.NodeProto()
        kept.CopyFrom(nodes.get(node.name, node))
        kept.input[:] = node.input
        wired.append(kept)
    del original.graph.node[:]
    original.graph.node.extend(wired)
    original.graph.initializer.extend(t for t in edited.graph.initializer if t.name not in tensors)
    return original


def _zeros(name: str, shape: tuple[int, ...], to: Format) -> gs.Constant:
    """A zero point, as a tensor that is made already: gs does not know every type."""
    return gs.Constant(name, LazyValues(numpy_helper.from_array(np.zeros(shape, to.dtype), name)))


def _fill(model: onnx.ModelProto, stored: dict[str, NDArray[Any]]) -> None:
    """Give the quantized weights their values, in place, and let go of the arrays."""
    for tensor in model.graph.initializer:
        if tensor.name in stored:
            tensor.raw_data = numpy_helper.from_array(stored.pop(tensor.name)).raw_data
