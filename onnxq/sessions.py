"""Models in onnxruntime: sessions on the CPU, and models that also give out inner tensors."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from onnxq import weights
from onnxq.diagnostics import error, first_line
from onnxq.model import is_pair_op

if TYPE_CHECKING:
    import onnxruntime

_NUMPY_TYPES: Final = frozenset(
    onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind)) for kind in "efdbhilqBHILQ?"
)


def with_outputs(model: onnx.ModelProto, tensors: Iterable[str]) -> onnx.ModelProto:
    """Copy the model with inner tensors as further outputs, whose types onnxruntime infers."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    have = {o.name for o in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=t) for t in tensors if t not in have)
    return copy


def open_session(
    model: onnx.ModelProto, *, called: str = "the model", as_written: bool = False
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
    if as_written or _has_pairs(model):
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        given = _give_misaligned(model, options)
        content = _content(model, options)
        session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as reason:  # onnxruntime's exceptions share no other base
        raise error(
            "OQ305",
            f"onnxruntime cannot load {called}: {first_line(reason)}",
            fix="check it with 'python -m onnx.checker' or export it again",
        ) from None
    session.onnxq_weights = given  # onnxruntime may read them as long as it lives
    return session


def _content(model: onnx.ModelProto, options: onnxruntime.SessionOptions) -> bytes:
    """The model as bytes; `options` learn in which folder the weights are that it refers to.

    onnxruntime maps them into memory itself, and takes only files below one folder.
    """
    if all(weights.place(t) is None for t in weights.tensors(model)):
        return bytes(model.SerializeToString())
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    places = [(t, p) for t in weights.tensors(copy) if (p := weights.place(t)) is not None]
    folder = Path(os.path.commonpath([p.file.parent for _, p in places]))
    for tensor, place in places:
        file = place.file.relative_to(folder)
        weights.refer(tensor, weights.Place(file=file, offset=place.offset, length=place.length))
    key = "session.model_external_initializers_file_folder_path"
    options.add_session_config_entry(key, str(folder))
    return bytes(copy.SerializeToString())


def _give_misaligned(
    model: onnx.ModelProto, options: onnxruntime.SessionOptions
) -> dict[str, NDArray[Any]]:
    """Give `options` the weights that begin where their type may not, as inside a model file.

    Returns them by name. What NumPy has no type for is left to onnxruntime.
    """
    import onnxruntime as ort

    arrays = {
        t.name: weights.array(t)
        for t in model.graph.initializer
        if weights.place(t) is not None and t.data_type in _NUMPY_TYPES
    }
    given = {name: array for name, array in arrays.items() if not array.flags.aligned}
    values = [ort.OrtValue.ortvalue_from_numpy(array) for array in given.values()]
    options.add_external_initializers(list(given), values)
    return given


def _has_pairs(model: onnx.ModelProto) -> bool:
    return any(map(is_pair_op, model.graph.node))
