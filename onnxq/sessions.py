"""Models in onnxruntime: sessions, and models that also give out inner tensors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from onnxq.diagnostics import error, first_line
from onnxq.feeds.samples import Sample
from onnxq.model import weights
from onnxq.model.inner_outputs import INSIDE, with_inner_outputs
from onnxq.model.io import LARGEST
from onnxq.model.pairs import is_pair_op
from onnxq.model.scopes import nodes, read_names

if TYPE_CHECKING:
    import onnxruntime

CPU: Final = "CPUExecutionProvider"
_NUMPY_TYPES: Final = frozenset(
    onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind)) for kind in "efdbhilqBHILQ?"
)


def open_session(
    model: onnx.ModelProto,
    *,
    called: str = "the model",
    as_written: bool = False,
    providers: Sequence[str] = (CPU,),
    threads: int | None = None,
    spinning: bool = True,
) -> onnxruntime.InferenceSession:
    """Load a model into onnxruntime; OQ305 names it as `called`.

    With `as_written`, and for a ModelProto with Q/DQ nodes, it does each operation as the file
    says. Its optimizations fuse Q/DQ into integer kernels (which saturate on CPUs without VNNI),
    add biases of their own in int32, and merge pairs: figures of the fused graph, not of the file
    that TensorRT reads. On a YOLOX the exact graph costs 15 % more time. Without `spinning` its
    threads sleep between runs, which leaves the cores to whoever works on the outputs.
    """
    import onnxruntime as ort

    options = _options(threads, spinning=spinning)
    if as_written or has_pairs(model):
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        given = _give_misaligned(model, options)
        content = _content(model, options, sparing=as_written)
        session = ort.InferenceSession(content, options, providers=list(providers))
    except Exception as reason:  # onnxruntime's exceptions share no other base
        raise error(
            "OQ305",
            f"onnxruntime cannot load {called}: {first_line(reason)}",
            fix="check it with 'python -m onnx.checker' or export it again",
        ) from None
    if session.get_providers()[0] != providers[0]:  # onnxruntime falls back without a word
        raise error(
            "OQ430",
            f"onnxruntime could not start the {providers[0]}",
            fix="install what it needs on this machine, or leave out --provider",
        )
    session.onnxq_weights = given  # onnxruntime may read them as long as it lives
    return session


def _options(threads: int | None, *, spinning: bool) -> onnxruntime.SessionOptions:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, and told once
    options.intra_op_num_threads = threads or 0  # 0: one a core
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    return options


def write_optimized(model: onnx.ModelProto, path: Path) -> None:
    """Write what onnxruntime makes of a model for this CPU, its weights into a file beside it.

    The model holds its weights itself. Raises what onnxruntime raises.
    """
    import onnxruntime as ort

    options = _options(1, spinning=False)
    options.optimized_model_filepath = str(path)
    key = "session.optimized_model_external_initializers_file_name"
    options.add_session_config_entry(key, f"{path.name}.data")
    options.add_session_config_entry("session.disable_prepacking", "1")  # it runs nothing
    ort.InferenceSession(model.SerializeToString(), options, providers=[CPU])


def open_written(
    path: Path, *, threads: int | None, spinning: bool
) -> onnxruntime.InferenceSession:
    """Open what `write_optimized` wrote, as it is. Raises what onnxruntime raises."""
    import onnxruntime as ort

    options = _options(threads, spinning=spinning)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(str(path), options, providers=[CPU])


def _content(
    model: onnx.ModelProto, options: onnxruntime.SessionOptions, *, sparing: bool
) -> bytes:
    """The model as bytes; `options` learn in which folder the weights are that it refers to.

    onnxruntime maps them into memory itself, and takes only files below one folder. With `sparing`,
    and always above 2 GB, memory counts for more than speed.
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
    if sparing or weights.size(model) > LARGEST:
        options.add_session_config_entry("session.disable_prepacking", "1")  # which copies weights
        options.enable_cpu_mem_arena = False  # which keeps what large tensors once took
    return bytes(copy.SerializeToString())


def _give_misaligned(
    model: onnx.ModelProto, options: onnxruntime.SessionOptions
) -> dict[str, NDArray[Any]]:
    """Give `options` the weights that begin where their type may not, as inside a model file.

    Returns them by name. What NumPy has no type for is left to onnxruntime, which refuses to be
    given a weight that nothing reads.
    """
    import onnxruntime as ort

    used = read_names(model.graph.node).union(output.name for output in model.graph.output)
    arrays = {
        t.name: weights.array(t)
        for t in model.graph.initializer
        if t.name in used and weights.place(t) is not None and t.data_type in _NUMPY_TYPES
    }
    given = {name: array for name, array in arrays.items() if not array.flags.aligned}
    values = [ort.OrtValue.ortvalue_from_numpy(array) for array in given.values()]
    options.add_external_initializers(list(given), values)
    return given


def has_pairs(model: onnx.ModelProto) -> bool:
    """True for a model with Q/DQ nodes, which is run as the file says."""
    return any(is_pair_op(node) for _, node in nodes(model.graph))


def provider(name: str) -> str:
    """Return onnxruntime's name of an execution provider, such as that of 'cuda' (OQ430)."""
    import onnxruntime as ort

    have = ort.get_available_providers()
    known = {p.removesuffix("ExecutionProvider").lower(): p for p in have}
    found = known.get(name.removesuffix("ExecutionProvider").lower())
    if found is None:
        raise error(
            "OQ430",
            f"this onnxruntime has no provider '{name}', only {', '.join(known)}",
            fix="install the onnxruntime package that has it, such as onnxruntime-gpu",
        )
    return str(found)


def float_ports(session: onnxruntime.InferenceSession) -> frozenset[str]:
    """Names of the inputs and outputs of type float32 and float16."""
    ports = (*session.get_inputs(), *session.get_outputs())
    floats = ("tensor(float)", "tensor(float16)")
    return frozenset(port.name.removeprefix(INSIDE) for port in ports if port.type in floats)


def run(
    session: onnxruntime.InferenceSession, outputs: Sequence[str], sample: Sample
) -> Mapping[str, NDArray[Any]]:
    """Return the outputs, and the inputs, by name (OQ305)."""
    if not outputs:  # which onnxruntime would take for all
        return sample.tensors
    given = {o.name for o in session.get_outputs()}
    try:
        asked = [name if name in given else INSIDE + name for name in outputs]
        arrays = _outputs(session, asked, sample)
    except Exception as reason:  # onnxruntime's exceptions share no other base
        raise error(
            "OQ305",
            f"onnxruntime cannot run the model on '{sample.name}': {first_line(reason)}",
            fix="check the input shapes; --shape gives those that are dynamic",
        ) from None
    return {**sample.tensors, **dict(zip(outputs, arrays, strict=True))}


def _outputs(
    session: onnxruntime.InferenceSession, outputs: list[str], sample: Sample
) -> list[NDArray[Any]]:
    """Numeric arrays, without the copy that `session.run` makes of each."""
    import onnxruntime as ort

    if any(array.dtype.kind in "OSU" for array in sample.tensors.values()):
        arrays: list[NDArray[Any]] = session.run(outputs, dict(sample.tensors))
        return arrays
    values = {k: ort.OrtValue.ortvalue_from_numpy(array) for k, array in sample.tensors.items()}
    return [np.from_dlpack(value) for value in session.run_with_ort_values(outputs, values)]


def sizes(model: onnx.ModelProto, tensors: Iterable[str], sample: Sample) -> dict[str, int]:
    """Bytes that each float32 tensor takes when the model runs on a sample (OQ305).

    The model itself tells, so that no tensor has to leave it.
    """
    inner = [name for name in tensors if name not in sample.tensors]
    measured = with_inner_outputs(model, inner)
    flat = {o.name for o in measured.graph.output if o.name.startswith(INSIDE)}
    del measured.graph.output[len(model.graph.output) :]  # all at once may be too much
    asked = [f"onnxq/size/{name}" for name in inner]
    for name, size in zip(inner, asked, strict=True):
        source = INSIDE + name if INSIDE + name in flat else name
        measured.graph.node.append(onnx.helper.make_node("Size", [source], [size]))
        measured.graph.output.append(
            onnx.helper.make_tensor_value_info(size, onnx.TensorProto.INT64, [])
        )
    told = run(open_session(measured), asked, sample)
    known = {name: 4 * int(told[size]) for name, size in zip(inner, asked, strict=True)}
    return known | {name: array.nbytes for name, array in sample.tensors.items()}
