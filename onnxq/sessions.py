"""Models in onnxruntime: sessions on the CPU, and models that also give out inner tensors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from onnxq.diagnostics import error, first_line
from onnxq.model import is_pair_op

if TYPE_CHECKING:
    import onnxruntime


def with_outputs(model: onnx.ModelProto, tensors: Iterable[str]) -> onnx.ModelProto:
    """Copy the model with inner tensors as further outputs, whose types onnxruntime infers."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    have = {o.name for o in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=t) for t in tensors if t not in have)
    return copy


def open_session(
    model: onnx.ModelProto | str | Path, *, called: str = "the model", as_written: bool = False
) -> onnxruntime.InferenceSession:
    """Load a model into onnxruntime on the CPU; OQ305 names it as `called`.

    With `as_written`, and for a ModelProto with Q/DQ nodes, it does each operation as the file
    says. Its optimizations fuse Q/DQ into integer kernels (which saturate on CPUs without VNNI),
    add biases of their own in int32, and merge pairs: figures of the fused graph, not of the file
    that TensorRT reads. On a YOLOX the exact graph costs 15 % more time.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, and told once
    if as_written or (isinstance(model, onnx.ModelProto) and _has_pairs(model)):
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as reason:  # onnxruntime's exceptions share no other base
        raise error(
            "OQ305",
            f"onnxruntime cannot load {called}: {first_line(reason)}",
            fix="check it with 'python -m onnx.checker' or export it again",
        ) from None


def _has_pairs(model: onnx.ModelProto) -> bool:
    return any(map(is_pair_op, model.graph.node))
