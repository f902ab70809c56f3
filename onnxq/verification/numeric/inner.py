"""The inner tensors of a Q/DQ model that can be compared, and a model of each pair and op alone.

A pair is measured behind its DequantizeLinear, where its readers see it; a weighted op at its
output. The local model holds every pair and every weighted op side by side, each with the float
model's tensors as its inputs, so that one run gives the local error of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import onnx
from onnx import helper

from onnxq.linting.qdq import QdqModel
from onnxq.model.graph import Graph, Node
from onnxq.model.node_inputs import crossed
from onnxq.model.pairs import DEQUANTIZE, QUANTIZE, is_pair_node

SiteKind = Literal["op", "pair"]
_FLOAT: Final = "float:"  # prefix of the local model's inputs
_LOCAL: Final = "local:"  # prefix of a weighted op's outputs there


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One pair or weighted op of a Q/DQ model; `node` is the QuantizeLinear or the op.

    `tensor` is the name of its output in the float model, `measured` in the Q/DQ model and `local`
    in the local model. `local` is None when the op cannot be run alone; `problem` then says why.
    `position` counts the float model's nodes up to the one that computes the tensor.
    """

    kind: SiteKind
    node: str
    op: str
    tensor: str
    measured: str
    position: int
    local: str | None
    problem: str = ""


class InnerTensors:
    """The sites of a Q/DQ model whose tensors the float model also has, matched by name.

    `unmatched` are nodes of pairs and ops whose tensors the float model does not have, `inside`
    those in bodies of If, Loop and Scan, where a tensor has many values or none. `feeds` are
    the inputs of `local_model`, each with the float model's tensor and its type as onnx numbers it.
    """

    def __init__(self, float_graph: Graph, qdq: QdqModel) -> None:
        self._qdq, self._float = qdq, float_graph
        computed = {
            out: index
            for index, node in enumerate(float_graph.nodes)
            for out in node.outputs
            if out and not node.scope and not float_graph.is_constant(out)
        }
        self._positions = dict.fromkeys(float_graph.inputs, -1) | computed
        self._nodes: dict[str, Node] = {}  # of the local model, by name
        self._cuts: dict[str, str] = {}  # tensors of the Q/DQ model: the float model's names
        self.unmatched: tuple[str, ...] = ()
        self.inside: tuple[str, ...] = ()
        self.sites = self._sites()
        self.local_model = self._local_model()

    @property
    def references(self) -> tuple[str, ...]:
        """The tensors that the float model must give out."""
        names = [*(site.tensor for site in self.sites), *self._cuts.values()]
        return tuple(dict.fromkeys(names))

    @property
    def feeds(self) -> Mapping[str, tuple[str, int]]:
        """By input of the local model: the float model's tensor, and the element type to feed."""
        return {_FLOAT + t: (name, self._type(t, name)) for t, name in self._cuts.items()}

    def _sites(self) -> tuple[Site, ...]:
        sites: list[Site] = []
        unmatched: list[str] = []
        inside: list[str] = []
        weighted = {n.name for n in self._qdq.weighted_nodes}
        for node in self._qdq.graph.nodes:
            if is_pair_node(node, QUANTIZE) and not self._qdq.is_constant(node.inputs[0]):
                site = self._pair(node)
            elif node.name in weighted and not self._qdq.is_constant(node.outputs[0]):
                site = self._op(node)
            else:
                continue
            if site is not None:
                sites.append(site)
            else:
                (inside if self._is_inside(node) else unmatched).append(node.name)
        self.unmatched, self.inside = tuple(unmatched), tuple(inside)
        return tuple(sorted(sites, key=lambda s: (s.position, s.kind)))

    def _is_inside(self, node: Node) -> bool:
        """True for an op in a body, and for a QuantizeLinear that only nodes in bodies read."""
        readers = self._qdq.readers(node.outputs[0]) if is_pair_node(node, QUANTIZE) else ()
        return bool(node.scope) or (bool(readers) and all(n.scope for n in readers))

    def _pair(self, quantize: Node) -> Site | None:
        tensor = self._float_name(quantize.inputs[0])
        behind = self._behind(quantize)
        if tensor is None or not behind:
            return None
        self._add({n.name: n for n in (quantize, behind[0])}, {quantize.inputs[0]: tensor})
        measured = behind[0].outputs[0]
        return self._site("pair", quantize, tensor, measured, local=measured)

    def _op(self, node: Node) -> Site | None:
        tensor = self._float_name(node.outputs[0])
        if tensor is None:
            return None
        nodes: dict[str, Node] = {node.name: node}
        cuts: dict[str, str | None] = {}
        for name in node.inputs:
            self._collect(name, nodes, cuts)
        missing = [cut for cut, name in cuts.items() if name is None]
        if missing:
            reason = f"'{missing[0]}' is not a tensor of the float model"
            return self._site("op", node, tensor, node.outputs[0], local=None, problem=reason)
        self._add(nodes, {cut: name for cut, name in cuts.items() if name is not None})
        return self._site("op", node, tensor, node.outputs[0], local=_LOCAL + node.outputs[0])

    def _site(
        self,
        kind: SiteKind,
        node: Node,
        tensor: str,
        measured: str,
        *,
        local: str | None,
        problem: str = "",
    ) -> Site:
        return Site(
            kind=kind,
            node=node.name,
            op=node.op,
            tensor=tensor,
            measured=measured,
            position=self._positions[tensor] + 1,
            local=local,
            problem=problem,
        )

    def _add(self, nodes: Mapping[str, Node], cuts: Mapping[str, str]) -> None:
        self._nodes |= nodes
        self._cuts |= cuts

    def _behind(self, quantize: Node) -> tuple[Node, ...]:
        """The DequantizeLinear nodes outside of bodies that read a QuantizeLinear."""
        graph = self._qdq.graph
        readers = (graph.by_name[e.node] for e in graph.consumers(quantize.outputs[0]))
        return tuple(n for n in readers if is_pair_node(n, DEQUANTIZE) and not n.scope)

    def _float_name(self, tensor: str) -> str | None:
        """The name of a tensor in the float model; None when it has no such tensor.

        If the float model does not have the name, a pair before or behind the tensor may have it.
        """
        if tensor in self._positions:
            return tensor
        graph = self._qdq.graph
        readers = [graph.by_name[e.node] for e in graph.consumers(tensor) if e.slot == 0]
        for quantize in (n for n in readers if is_pair_node(n, QUANTIZE)):
            for dequantize in self._behind(quantize):
                if dequantize.outputs[0] in self._positions:
                    return dequantize.outputs[0]
        maker = graph.producer(tensor)
        if maker is not None and is_pair_node(maker, DEQUANTIZE):
            quantizer = self._qdq.quantizer(maker)
            return self._float_name(quantizer.inputs[0]) if quantizer is not None else None
        return None

    def _collect(self, tensor: str, nodes: dict[str, Node], cuts: dict[str, str | None]) -> None:
        """Collect the nodes that compute an operand: pairs, ops that move data, constants."""
        graph = self._qdq.graph
        maker = graph.producer(tensor)
        if not tensor or (graph.is_constant(tensor) and maker is None):
            return
        if maker is not None and self._qdq.is_constant(tensor):
            ahead: tuple[str, ...] = maker.inputs
        elif maker is not None and is_pair_node(maker, DEQUANTIZE) and self._qdq.quantizer(maker):
            ahead = maker.inputs
        elif maker is not None and is_pair_node(maker, QUANTIZE):
            cuts[maker.inputs[0]] = self._float_name(maker.inputs[0])
            ahead = maker.inputs[1:]
        elif maker is not None and self._qdq.dequantizers(tensor)[0] and crossed(graph, maker):
            ahead = maker.inputs
        else:
            cuts[tensor] = self._float_name(tensor)
            return
        nodes[maker.name] = maker
        for name in ahead:
            self._collect(name, nodes, cuts)

    def _type(self, tensor: str, name: str) -> int:
        dtype = self._qdq.graph.type(tensor).dtype or self._float.type(name).dtype
        return dtype or int(onnx.TensorProto.FLOAT)

    def _local_model(self) -> onnx.ModelProto:
        source = self._qdq.named
        ops = {site.node for site in self.sites if site.kind == "op"}
        whole = {out for n in self._nodes.values() if n.name not in ops for out in n.outputs}
        nodes = [
            self._local_node(node, ends=node.name in ops, whole=whole)
            for node in source.graph.node
            if node.name in self._nodes
        ]
        used = {name for node in nodes for name in node.input}
        outputs = dict.fromkeys(site.local for site in self.sites if site.local is not None)
        graph = helper.make_graph(
            nodes,
            "local",
            [helper.make_tensor_value_info(n, kind, None) for n, (_, kind) in self.feeds.items()],
            [onnx.ValueInfoProto(name=name) for name in outputs],
            [t for t in source.graph.initializer if t.name in used],
        )
        return helper.make_model(
            graph, opset_imports=source.opset_import, ir_version=source.ir_version
        )

    def _local_node(self, node: onnx.NodeProto, *, ends: bool, whole: set[str]) -> onnx.NodeProto:
        """Copy a node; it reads tensors of the local model, or else that model's inputs."""
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        del copy.input[:], copy.output[:]
        quantizes = is_pair_node(self._nodes[node.name], QUANTIZE)
        for slot, name in enumerate(node.input):
            cut = name in self._cuts and (name not in whole or (quantizes and slot == 0))
            copy.input.append(_FLOAT + name if cut else name)
        copy.output.extend(_LOCAL + name if ends and name else name for name in node.output)
        return copy
