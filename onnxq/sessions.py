"""Models in onnxruntime: sessions, and models that also give out inner tensors."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from onnxq.diagnostics import OnnxqError, error, first_line
from onnxq.feeds.samples import Sample, Tensors
from onnxq.model import weights
from onnxq.model.float_ports import with_float_ports
from onnxq.model.inner_outputs import INSIDE, with_inner_outputs
from onnxq.model.io import LARGEST
from onnxq.model.pairs import is_pair_op
from onnxq.model.scopes import nodes, read_names

if TYPE_CHECKING:
    import onnxruntime

Libraries = tuple[str, ...]  # paths of libraries of custom ops

CPU: Final = "CPUExecutionProvider"
# What onnxruntime says of an index beyond a table: Gather and ScatterElements, GatherElements.
_OUTSIDE: Final = (
    re.compile(r"idx=(?P<index>-?\d+) must be .*range \[(?P<least>-?\d+),(?P<most>-?\d+)\]"),
    re.compile(
        r"bounds \[(?P<least>-?\d+) ?, ?(?P<most>-?\d+)\]. Actual value is (?P<index>-?\d+)"
    ),
)
_NO_MODEL: Final = "check it with 'python -m onnx.checker' or export it again"
_NO_OP: Final = "give the library that has the op with --ort-library LIB.so, or a model without it"
_NODE: Final = re.compile(r"running (\w+) node. Name:'(.*?)' Status")
_NUMPY_TYPES: Final = frozenset(
    onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind)) for kind in "efdbhilqBHILQ?"
)


@functools.cache
def runtime_errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises: OSError, its own classes, which share no base, and those for C++."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (c for c in vars(state).values() if isinstance(c, type) and issubclass(c, Exception))
    return (OSError, *own, RuntimeError, ValueError, MemoryError)


def open_session(
    model: onnx.ModelProto,
    *,
    called: str = "the model",
    as_written: bool = False,
    around_pairs: bool = False,
    providers: Sequence[str] = (CPU,),
    threads: int | None = None,
    spinning: bool = True,
    libraries: Libraries = (),
) -> onnxruntime.InferenceSession:
    """Load a model into onnxruntime; OQ305 names it as `called`. `libraries` have its custom ops.

    With `as_written`, and for a ModelProto with Q/DQ nodes, onnxruntime computes each operation as
    the file has it. Its optimizations would fuse Q/DQ into integer kernels (which saturate on CPUs
    without VNNI), add biases in int32, and merge pairs: figures of another graph than TensorRT
    reads. On a YOLOX the exact graph takes 15 % more time. With `around_pairs` it optimizes all but
    the pairs, which it computes as written: for models with few of them. Without `spinning` the
    threads sleep between runs, which leaves the cores to the code that works on the outputs. Inputs
    and outputs in bfloat16 are given and returned as float32.
    """
    import onnxruntime as ort

    model = with_float_ports(model)
    options = _options(threads, spinning=spinning, libraries=libraries)
    if around_pairs:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    elif as_written or has_pairs(model):
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        misaligned = _give_misaligned(model, options)
        content = _content(model, options, sparing=as_written)
        session = ort.InferenceSession(content, options, providers=list(providers))
    except runtime_errors() as reason:
        raise error(
            "OQ305",
            f"onnxruntime cannot load {called}: {first_line(reason)}",
            fix=_NO_OP if "is not a registered function/op" in str(reason) else _NO_MODEL,
        ) from reason
    if session.get_providers()[0] != providers[0]:  # onnxruntime falls back silently
        raise error(
            "OQ430",
            f"onnxruntime could not start the {providers[0]}",
            fix="install what it needs on this machine, or leave out --provider",
        )
    session.onnxq_weights = misaligned  # the session may read them as long as it lives
    return session


def _options(
    threads: int | None, *, spinning: bool, libraries: Libraries
) -> onnxruntime.SessionOptions:
    import onnxruntime as ort

    options = ort.SessionOptions()
    custom_ops(options, libraries)
    options.log_severity_level = 4  # errors are raised; it need not print them too
    options.intra_op_num_threads = threads or 0  # 0: one a core
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    return options


def custom_ops(options: onnxruntime.SessionOptions, libraries: Libraries) -> None:
    """Give a session the custom ops of libraries (OQ320)."""
    for library in libraries:
        register(options, library, called=library)


def register(options: onnxruntime.SessionOptions, library: str, *, called: str) -> None:
    """Give a session the custom ops of one library, which OQ320 names as `called`."""
    try:
        if not Path(library).is_file():
            raise FileNotFoundError("it is not a file")
        options.register_custom_ops_library(library)
    except runtime_errors() as reason:
        why = first_line(reason).rpartition(" with error: ")[2].replace(f"{library}: ", "")
        raise error(
            "OQ320",
            f"onnxruntime cannot load the library '{called}': {why}",
            fix="give one that exports RegisterCustomOps, built for this system",
        ) from reason


def write_optimized(model: onnx.ModelProto, path: Path, libraries: Libraries) -> None:
    """Write the graph that onnxruntime optimized for this CPU, its weights in a file beside it.

    The model must hold its weights. Raises `runtime_errors()`.
    """
    import onnxruntime as ort

    options = _options(1, spinning=False, libraries=libraries)
    options.optimized_model_filepath = str(path)
    key = "session.optimized_model_external_initializers_file_name"
    options.add_session_config_entry(key, f"{path.name}.data")
    options.add_session_config_entry("session.disable_prepacking", "1")  # it runs nothing
    content = with_float_ports(model).SerializeToString()
    ort.InferenceSession(content, options, providers=[CPU])


def open_written(
    path: Path, *, threads: int | None, spinning: bool, libraries: Libraries
) -> onnxruntime.InferenceSession:
    """Open a file of `write_optimized` as it is. Raises `runtime_errors()`."""
    import onnxruntime as ort

    options = _options(threads, spinning=spinning, libraries=libraries)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(str(path), options, providers=[CPU])


def _content(
    model: onnx.ModelProto, options: onnxruntime.SessionOptions, *, sparing: bool
) -> bytes:
    """The model as bytes; `options` get the folder of the weight files that it refers to.

    onnxruntime maps these files into memory, and accepts only files below one folder. With
    `sparing`, and always above 2 GB, less memory is preferred to speed.
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
    """Give `options` the weights that are not aligned in their file, and return them by name.

    onnxruntime maps the others itself, and those of types that NumPy lacks. It refuses weights that
    no node reads.
    """
    import onnxruntime as ort

    used = read_names(model.graph.node).union(output.name for output in model.graph.output)
    arrays = {
        t.name: weights.array(t)
        for t in model.graph.initializer
        if t.name in used and weights.place(t) is not None and t.data_type in _NUMPY_TYPES
    }
    misaligned = {name: array for name, array in arrays.items() if not array.flags.aligned}
    values = [ort.OrtValue.ortvalue_from_numpy(array) for array in misaligned.values()]
    options.add_external_initializers(list(misaligned), values)
    return misaligned


def has_pairs(model: onnx.ModelProto) -> bool:
    """True for a model with Q/DQ nodes, which is run without optimizations."""
    return any(is_pair_op(node) for _, node in nodes(model.graph))


def provider(name: str) -> str:
    """Return onnxruntime's name of an execution provider, such as that of 'cuda' (OQ430)."""
    import onnxruntime as ort

    available = {
        provider.removesuffix("ExecutionProvider").lower(): provider
        for provider in ort.get_available_providers()
    }
    short = name.removesuffix("ExecutionProvider").lower()
    if short not in available:
        raise error(
            "OQ430",
            f"this onnxruntime has no provider '{name}', only {', '.join(available)}",
            fix="install the onnxruntime package that has it, such as onnxruntime-gpu",
        )
    return str(available[short])


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
    available = {o.name for o in session.get_outputs()}
    ports = [name if name in available else INSIDE + name for name in outputs]
    try:
        arrays = numeric_outputs(session, ports, sample.tensors)
    except runtime_errors() as reason:
        if (of_index := index_error(reason, sample.tensors, f"'{sample.name}'")) is not None:
            raise of_index from reason
        raise error(
            "OQ305",
            f"onnxruntime cannot run the model on '{sample.name}': {first_line(reason)}",
            fix="check the input shapes; --shape gives those that are dynamic",
        ) from reason
    return {**sample.tensors, **dict(zip(outputs, arrays, strict=True))}


def index_error(reason: Exception, tensors: Tensors, where: str) -> OnnxqError | None:
    """The error that an input holds an index beyond a table (OQ407); None for other reasons."""
    match = next(filter(None, (pattern.search(str(reason)) for pattern in _OUTSIDE)), None)
    if match is None:
        return None
    index = int(match["index"])
    inputs = [n for n, a in tensors.items() if a.dtype.kind in "iu" and np.any(a == index)]
    if not inputs:
        return None
    node = _NODE.search(str(reason))
    by = f", where {node[1]} '{node[2]}' takes {match['least']} to {match['most']}" if node else ""
    named = " or ".join(f"'{name}'" for name in inputs)
    return error(
        "OQ407",
        f"the input {named} holds the index {index} in {where}{by}",
        fix="correct the data, or the code that makes it: its tokenizer may be another model's",
    )


def numeric_outputs(
    session: onnxruntime.InferenceSession, names: list[str], tensors: Tensors
) -> list[NDArray[Any]]:
    """Numeric arrays, without the copy that `session.run` makes of each."""
    import onnxruntime as ort

    if any(array.dtype.kind in "OSU" for array in tensors.values()):
        arrays: list[NDArray[Any]] = session.run(names, dict(tensors))
        return arrays
    values = {k: ort.OrtValue.ortvalue_from_numpy(array) for k, array in tensors.items()}
    return [np.from_dlpack(value) for value in session.run_with_ort_values(names, values)]


def sizes(
    model: onnx.ModelProto, tensors: Iterable[str], sample: Sample, libraries: Libraries
) -> dict[str, int]:
    """Bytes that each float32 tensor takes when the model runs on a sample (OQ305).

    The model itself computes them, so that no tensor has to leave it.
    """
    inner = [name for name in tensors if name not in sample.tensors]
    measured = with_inner_outputs(model, inner)
    flat = {o.name for o in measured.graph.output if o.name.startswith(INSIDE)}
    del measured.graph.output[len(model.graph.output) :]  # all at once may be too much
    outputs = [f"onnxq/size/{name}" for name in inner]
    for name, size in zip(inner, outputs, strict=True):
        source = INSIDE + name if INSIDE + name in flat else name
        measured.graph.node.append(onnx.helper.make_node("Size", [source], [size]))
        measured.graph.output.append(
            onnx.helper.make_tensor_value_info(size, onnx.TensorProto.INT64, [])
        )
    counts = run(open_session(measured, libraries=libraries), outputs, sample)
    nbytes = {name: 4 * int(counts[size]) for name, size in zip(inner, outputs, strict=True)}
    return nbytes | {name: array.nbytes for name, array in sample.tensors.items()}
