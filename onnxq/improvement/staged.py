"""A model run part by part over all samples, so that constants can change between the parts.

The tensors that later parts need are kept for every sample: each op runs about once a sample,
however many parts there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxq.feeds.samples import Sample, Tensors
from onnxq.improvement.edits import Array
from onnxq.model.constants import Constants
from onnxq.model.pairs import DEQUANTIZE
from onnxq.model.scopes import read_names
from onnxq.sessions import Libraries, open_session, run

if TYPE_CHECKING:
    import onnxruntime

BUDGET: Final = 1 << 30  # bytes that kept tensors may take; beyond it parts are computed again
_HELD: Final = frozenset(
    {TensorProto.INT8, TensorProto.INT16, TensorProto.UINT8, TensorProto.UINT16}
)  # types that NumPy holds; FP8 comes out of no session


class StagedRun:
    """Gives tensors of the top graph; later ones are to be asked for after those before them.

    `ends` are all tensors that will be asked for. With `is_edited`, the ops that compute what was
    asked for run again in the next part, with the constants of then. Tensors in
    INT8 are kept instead of dequantized ones, which take four times the memory. Where what is to be
    kept takes more than `budget` bytes, the next part begins where this one began.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        samples: Sequence[Tensors],
        ends: Iterable[str],
        *,
        is_edited: bool,
        budget: int = BUDGET,
        libraries: Libraries = (),
    ) -> None:
        self._model, self._libraries = model, libraries
        self._is_edited, self._budget = is_edited, budget
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        stored = Constants(model.graph).stored()
        self._types = {name: tensor.data_type for name, tensor in stored.items()}
        self._makers = {o: i for i, n in enumerate(model.graph.node) for o in n.output if o}
        self._reads = [read_names([node]) for node in model.graph.node]
        self._light = {i for i, node in enumerate(model.graph.node) if self._is_light(i, node)}
        self._ends = set(ends)
        self._kept: list[Tensors] = list(samples)
        self._names = set(samples[0]) if samples else set()

    def _is_light(self, index: int, node: onnx.NodeProto) -> bool:
        if self._reads[index] <= self._constants.keys():
            return True
        zero = self._constants.get(node.input[2]) if len(node.input) > 2 else None
        return node.op_type == DEQUANTIZE and (zero is None or zero.data_type in _HELD)

    def set_constants(self, values: Mapping[str, Array]) -> None:
        """Replace the values of initializers, in their types, for the parts to come."""
        for name, array in values.items():
            dtype = helper.tensor_dtype_to_np_dtype(self._types[name])
            self._constants[name] = numpy_helper.from_array(array.astype(dtype), name)

    def values(self, tensors: Collection[str]) -> Iterator[dict[str, Array]]:
        """The tensors by name for each sample, in the order of the samples (OQ305)."""
        nodes, used = self._behind(tensors, self._names)
        live = self._live_after(tensors, nodes)
        outputs = [t for t in dict.fromkeys([*tensors, *sorted(live)]) if t not in self._names]
        session = self._session(nodes, used, outputs) if self._kept and outputs else None
        is_kept = True
        for number, before in enumerate(self._kept):
            after = dict(before)
            if session is not None:
                inputs = {name: before[name] for name in used}
                sample = Sample(name=f"sample {number + 1}", tensors=inputs, digest="")
                after |= run(session, outputs, sample)
            if number == 0:
                size = sum(after[name].nbytes for name in live)
                is_kept = size * len(self._kept) <= self._budget
            if is_kept:
                self._kept[number] = {name: after[name] for name in live}
            if is_kept and number == len(self._kept) - 1:
                self._names = live
            yield {name: after[name] for name in tensors}

    def _live_after(self, tensors: Collection[str], nodes: set[int]) -> set[str]:
        """What the parts to come read of the kept tensors, and of what these nodes compute."""
        self._ends -= set(tensors)
        again = (
            {self._makers[t] for t in tensors if t in self._makers} if self._is_edited else set()
        )
        steady = nodes - self._light - again
        made = {out for i in steady for out in self._model.graph.node[i].output if out}
        return self._behind(self._ends, self._names | made)[1]

    def _behind(self, tensors: Iterable[str], known: Collection[str]) -> tuple[set[int], set[str]]:
        """The nodes that compute tensors from known ones, and the known ones that these use."""
        nodes: set[int] = set()
        used: set[str] = set()
        pending = list(tensors)
        while pending:
            name = pending.pop()
            if name in known:
                used.add(name)
            elif name in self._constants or (index := self._makers.get(name)) is None:
                continue
            elif index not in nodes:
                nodes.add(index)
                pending.extend(self._reads[index])
        return nodes, used

    def _session(
        self, nodes: set[int], inputs: Iterable[str], outputs: Iterable[str]
    ) -> onnxruntime.InferenceSession:
        """A session of some nodes."""
        first = self._kept[0]
        read = {name for index in nodes for name in self._reads[index]}
        graph = helper.make_graph(
            [self._model.graph.node[index] for index in sorted(nodes)],
            "part",
            [_port(name, first[name]) for name in inputs],
            [onnx.ValueInfoProto(name=name) for name in outputs],
            [tensor for name, tensor in self._constants.items() if name in read],
        )
        opsets, version = self._model.opset_import, self._model.ir_version
        part = helper.make_model(graph, opset_imports=opsets, ir_version=version)
        return open_session(part, called="a part of the model", libraries=self._libraries)


def _port(name: str, array: Array) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, kind, None)
