"""Plan x scales x model -> Q/DQ model. graphsurgeon edits; what was not edited stays as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.model import name_nodes, names, raise_opset
from onnxq.plan import Pair, Plan
from onnxq.scales import Scales
from onnxq.tensor_quant import quantize

METADATA: Final = "onnxq."  # prefix of the metadata keys that onnxq writes


def insert(
    model: onnx.ModelProto,
    plan: Plan,
    scales: Scales,
    *,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Return a copy of the model with a Q/DQ pair for every pair of the plan.

    Weights become int8 initializers behind a DequantizeLinear; a float weight that nobody reads any
    more is dropped. Scales of activations are scalars, zero points int8 zeros, axes explicit
    (`docs/guide.md` says why TensorRT needs each). Nodes without a name of their own get one.
    Everything else is taken over unchanged. The model itself is not changed.
    """
    original = onnx.ModelProto()
    original.CopyFrom(model)
    original = raise_opset(name_nodes(original), "the model")
    surgeon = _Surgeon(gs.import_onnx(original), taken=names(original.graph))
    for pair in plan.pairs:
        surgeon.insert(pair, scales[pair])
    result = _transplant(surgeon.finished(), original)
    _drop_unread(result, {p.tensor for p in plan.pairs if p.kind == "weight"})
    for key, value in (metadata or {}).items():
        result.metadata_props.add(key=METADATA + key, value=value)
    return result


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    """What `insert` wrote into a model's metadata, without the prefix of its keys."""
    entries = {p.key: p.value for p in model.metadata_props}
    return {k.removeprefix(METADATA): v for k, v in entries.items() if k.startswith(METADATA)}


class _Surgeon:
    """The edit in progress on a graphsurgeon graph."""

    def __init__(self, graph: gs.Graph, *, taken: set[str]) -> None:
        self._graph = graph
        self._nodes = {n.name: n for n in graph.nodes}
        self._tensors = graph.tensors()
        self._taken = taken
        self._before: dict[str, list[gs.Node]] = {}  # new nodes by the node they stand before

    def insert(self, pair: Pair, scale: NDArray[np.float32]) -> None:
        tensor = self._tensors[pair.tensor]
        suffix = self._free_suffix(pair.tensor)
        attributes = {} if pair.axis is None else {"axis": pair.axis}
        parameters = [
            gs.Constant(f"{pair.tensor}_scale{suffix}", scale),
            gs.Constant(f"{pair.tensor}_zero_point{suffix}", np.zeros(scale.shape, np.int8)),
        ]
        nodes = []
        if pair.kind == "weight":
            values = _weight(tensor)
            narrow = pair.descriptor.narrow_range
            stored = quantize(values, scale, axis=pair.axis, narrow_range=narrow)
            quantized = gs.Constant(f"{pair.tensor}_quantized{suffix}", stored)
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
        for edge in pair.edges:
            self._nodes[edge.node].inputs[edge.slot] = dequantized
        self._before.setdefault(pair.edges[0].node, []).extend(nodes)

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
        return exported


def _weight(tensor: gs.Tensor) -> NDArray[Any]:
    if isinstance(tensor, gs.Constant):
        return np.asarray(tensor.values)
    attributes = tensor.inputs[0].attrs  # of a Constant node
    if "value" in attributes:
        return np.asarray(attributes["value"].values)
    return np.asarray(attributes.get("value_floats", attributes.get("value_float")), np.float32)


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


def _drop_unread(model: onnx.ModelProto, names: set[str]) -> None:
    """Remove those of the float weights that no node and no output reads any more, in place."""
    graph = model.graph
    unread = names - _read(graph) - {o.name for o in graph.output}
    for values in (graph.initializer, graph.input, graph.value_info):
        kept = [v for v in values if v.name not in unread]
        del values[:]
        values.extend(kept)
    nodes = [n for n in graph.node if not (n.op_type == "Constant" and n.output[0] in unread)]
    del graph.node[:]
    graph.node.extend(nodes)


def _read(graph: onnx.GraphProto) -> set[str]:
    """Names that the nodes of a graph and of its subgraphs read."""
    found: set[str] = set()
    for node in graph.node:
        found.update(node.input)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                found |= _read(inner)
                found.update(o.name for o in inner.output)
    return found
