"""Sessions with inner tensors as outputs, in the order in which onnxruntime keeps the values.

On a CPU onnxruntime computes convolutions on blocks of channels, and reorders each tensor that
leaves such a part of the graph. Statistics do not depend on the order of values, so here tensors
leave as blocks. docs/adr/0016 has the figures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import onnx
from numpy.typing import NDArray

from onnxq.diagnostics import Diagnostic, Severity, first_line
from onnxq.feeds.samples import Sample
from onnxq.model import weights
from onnxq.model.graph import QUANTIZABLE
from onnxq.model.inner_outputs import INSIDE, with_inner_outputs
from onnxq.model.pruning import keep_outputs
from onnxq.sessions import (
    CPU,
    Libraries,
    float_ports,
    has_pairs,
    open_session,
    open_written,
    run,
    runtime_errors,
    write_optimized,
)

if TYPE_CHECKING:
    import onnxruntime

_BLOCK: Final = 16  # channels of the largest blocks; smaller ones divide it
_BLOCKED_OPS: Final = frozenset({"Conv", "MaxPool", "AveragePool", "GlobalAveragePool"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposing:
    """A session, and the output that holds each inner tensor.

    `session` is None for a model that computes nothing, of which `inputs` are the float inputs.
    `diagnostics` has OQ445 when tensors are reordered needlessly.
    """

    session: onnxruntime.InferenceSession | None
    inputs: frozenset[str] = frozenset()
    outputs: Mapping[str, str]
    diagnostics: tuple[Diagnostic, ...] = ()

    def floats(self) -> frozenset[str]:
        """The inner tensors, and inputs of the model, that are float32."""
        ports = self.inputs if self.session is None else float_ports(self.session)
        return ports | {tensor for tensor, port in self.outputs.items() if port in ports}

    def run(self, sample: Sample, tensors: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the values of tensors and inputs, each in some order and shape (OQ305)."""
        ports = [self.outputs[name] for name in tensors if name in self.outputs]
        values = sample.tensors if self.session is None else run(self.session, ports, sample)
        return {name: values[self.outputs.get(name, name)] for name in tensors}


def expose(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    *,
    providers: Sequence[str],
    threads: int | None,
    libraries: Libraries = (),
) -> Exposing:
    """Open a session with inner tensors as outputs; OQ305 and OQ430 as `open_session`."""
    opened = with_inner_outputs(model, tensors)
    if tensors:
        wanted = {name for tensor in tensors for name in (tensor, INSIDE + tensor)}
        keep_outputs(opened.graph, wanted)
    if not opened.graph.output:
        types = ((i.name, i.type.tensor_type.elem_type) for i in opened.graph.input)
        inputs = frozenset(name for name, dtype in types if dtype in QUANTIZABLE)
        return Exposing(session=None, inputs=inputs, outputs={})
    diagnostics: tuple[Diagnostic, ...] = ()
    if tuple(providers) == (CPU,) and _may_have_blocks(model):
        try:
            if blocked := _in_blocks(opened, tensors, threads, libraries):
                return blocked
        except runtime_errors() as reason:  # a model that cannot be run fails below too
            diagnostics = (_slower(reason),)
    session = open_session(
        opened, providers=providers, threads=threads, spinning=False, libraries=libraries
    )
    return Exposing(
        session=session, outputs={name: name for name in tensors}, diagnostics=diagnostics
    )


def _slower(reason: Exception) -> Diagnostic:
    return Diagnostic(
        code="OQ445",
        message="the calibration takes longer than it could, with the same result: the optimized "
        f"model cannot be kept in the temporary folder: {first_line(reason)}",
        fix="free some space there, or name another folder in the environment variable TMPDIR",
        severity=Severity.INFO,
    )


def _may_have_blocks(model: onnx.ModelProto) -> bool:
    """Whether onnxruntime may compute on blocks, and the model is small enough to be written again.

    A model with Q/DQ nodes is not optimized (`open_session`), so it has no blocks.
    """
    if has_pairs(model):
        return False
    held = all(weights.place(tensor) is None for tensor in weights.tensors(model))
    return held and any(node.op_type in _BLOCKED_OPS for node in model.graph.node)


def _in_blocks(
    opened: onnx.ModelProto, tensors: Sequence[str], threads: int | None, libraries: Libraries
) -> Exposing | None:
    """Open the model as onnxruntime optimizes it, less the reordering; None if there is none.

    Raises `runtime_errors()`, as when there is no space for the files.
    """
    with tempfile.TemporaryDirectory(prefix="onnxq-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "optimized.onnx"
        write_optimized(opened, path, libraries)
        model = onnx.load(path, load_external_data=False)
        blocks = _blocks(model.graph, tensors)
        if not blocks:
            return None
        _leave_as(blocks, model.graph)
        onnx.save(model, path)
        session = open_written(path, threads=threads, spinning=False, libraries=libraries)
    return Exposing(session=session, outputs={name: blocks.get(name, name) for name in tensors})


def _blocks(graph: onnx.GraphProto, tensors: Sequence[str]) -> dict[str, str]:
    """By tensor that is reordered from a block without padding: that block."""
    wanted = set(tensors)
    return {
        node.output[0]: node.input[0]
        for node in graph.node
        if (node.domain, node.op_type) == ("com.microsoft.nchwc", "ReorderOutput")
        and node.output[0] in wanted
        and all(a.i % _BLOCK == 0 for a in node.attribute if a.name == "channels")
    }


def _leave_as(blocks: Mapping[str, str], graph: onnx.GraphProto) -> None:
    """Make the blocks outputs in place of the tensors reordered from them."""
    graph.output.extend(
        onnx.helper.make_tensor_value_info(block, onnx.TensorProto.FLOAT, None)
        for block in dict.fromkeys(blocks.values())
    )
    keep_outputs(graph, [o.name for o in graph.output if o.name not in blocks])
