"""A float model in which every pair can be switched on by itself, and what that costs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxq.feeds.samples import Sample, Tensors
from onnxq.formats import FORMATS
from onnxq.improvement.edits import Array
from onnxq.improvement.subject import Subject
from onnxq.insertion.insert import with_types
from onnxq.model.existing import zero_point_of
from onnxq.model.graph import Edge
from onnxq.model.scopes import Scope, nodes, scopes
from onnxq.planning.plan import Pair
from onnxq.quantization import quantize
from onnxq.sessions import Libraries, open_session, run

if TYPE_CHECKING:
    import onnxruntime

_PREFIX: Final = "onnxq/switch/"


class Switches:
    """One session for all of some pairs of a subject; only those that are on cost time."""

    def __init__(
        self,
        subject: Subject,
        outputs: Sequence[str],
        pairs: Collection[Pair],
        libraries: Libraries = (),
    ) -> None:
        wanted = [pair for pair in subject.scales.by_pair if pair in pairs]
        self._places = {pair: i for i, pair in enumerate(wanted)}
        self._outputs = list(outputs)
        model = _with_switches(subject, self._places)
        self._session: onnxruntime.InferenceSession = open_session(
            model, called="the model with switches", around_pairs=True, libraries=libraries
        )

    def run(self, sample: Tensors, on: Collection[Pair], *, called: str) -> Tensors:
        """The outputs with some pairs on; OQ305 calls the sample so."""
        switches = {f"{_PREFIX}{i}": np.array(p in on) for p, i in self._places.items()}
        whole = Sample(name=called, tensors={**sample, **switches}, digest="")
        return run(self._session, self._outputs, whole)


def _with_switches(subject: Subject, places: dict[Pair, int]) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(with_types(subject.model, subject.plan))
    edit = _Edit(model.graph)
    for pair, place in places.items():
        edit.add(_Switch(subject, pair, place))
    edit.finish()
    return model


@dataclass(frozen=True, slots=True, eq=False)
class _Switch:
    """The nodes and constants of one pair."""

    subject: Subject
    pair: Pair
    place: int

    def name(self, what: str) -> str:
        """A name that no model has."""
        return f"{_PREFIX}{self.place}{what}"

    def constants(self) -> Iterator[onnx.TensorProto]:
        """The scale and the zero point; of a weight also its whole numbers."""
        pair, scale = self.pair, self.subject.scales.by_pair[self.pair]
        zeros = np.zeros(scale.shape, FORMATS[pair.descriptor.dtype].dtype)
        if pair.existing is not None:
            zeros = zero_point_of(self.subject.graph, pair.existing)
        yield numpy_helper.from_array(scale, self.name("/scale"))
        yield numpy_helper.from_array(zeros, self.name("/zero"))
        if pair.kind == "weight":
            yield numpy_helper.from_array(self._stored(scale), self.name("/stored"))

    def _stored(self, scale: Array) -> Array:
        descriptor = self.pair.descriptor
        return quantize(
            self.subject.graph.array(self.pair.tensor),
            scale,
            axis=self.pair.axis,
            narrow_range=descriptor.narrow_range,
            dtype=descriptor.dtype,
            block_size=descriptor.block_size,
        )

    def node(self, result: str) -> onnx.NodeProto:
        """If the switch is on, the pair; else the tensor itself."""
        on, off, stored = f"{result}/on", f"{result}/off", self.name("/stored")
        how = [self.name("/scale"), self.name("/zero")]
        pair = []
        if self.pair.kind == "activation":
            stored = f"{result}/stored"
            pair.append(helper.make_node("QuantizeLinear", [self.pair.tensor, *how], [stored]))
        axis, size = self.pair.axis, self.pair.descriptor.block_size
        pair.append(
            helper.make_node("DequantizeLinear", [stored, *how], [on], axis=axis, block_size=size)
        )
        kept = [helper.make_node("Identity", [self.pair.tensor], [off])]
        return helper.make_node(
            "If",
            [self.name("")],
            [result],
            name=result,
            then_branch=self._branch(pair, on),
            else_branch=self._branch(kept, off),
        )

    def _branch(self, body: Sequence[onnx.NodeProto], result: str) -> onnx.GraphProto:
        dtype = TensorProto.FLOAT16 if self.pair.is_half else TensorProto.FLOAT
        out = helper.make_tensor_value_info(result, dtype, None)
        return helper.make_graph(body, result, [], [out])


class _Edit:
    """The edit in progress of a graph and its bodies, in place."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._nodes = {n.name: n for _, n in nodes(graph)}
        self._scopes = {n.name: scope for scope, n in nodes(graph)}
        self._before: dict[str, list[onnx.NodeProto]] = {}

    def add(self, switch: _Switch) -> None:
        """Put a switch into every scope that reads the tensor through the pair."""
        switched = helper.make_tensor_value_info(switch.name(""), TensorProto.BOOL, [])
        self._graph.input.append(switched)
        self._graph.initializer.extend(switch.constants())
        by_scope: dict[Scope, list[Edge]] = {}
        for edge in switch.pair.edges:
            by_scope.setdefault(self._scopes[edge.node], []).append(edge)
        for number, edges in enumerate(by_scope.values()):
            result = switch.name(f"/{number}")
            self._before.setdefault(edges[0].node, []).append(switch.node(result))
            for edge in edges:
                self._nodes[edge.node].input[edge.slot] = result

    def finish(self) -> None:
        """Put every switch before the first node that reads it."""
        for _, graph in scopes(self._graph):
            for place in reversed(range(len(graph.node))):
                for node in self._before.get(graph.node[place].name, ()):
                    graph.node.insert(place, node)
