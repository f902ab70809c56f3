"""Where inputs come from: pictures and NumPy files, one sample after the other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import helper
from PIL import Image

from onnxq import preprocess
from onnxq.diagnostics import Diagnostic, OnnxqError, did_you_mean, error, warning
from onnxq.graph import Graph, Shape
from onnxq.preprocess import Preprocess

Tensors = Mapping[str, NDArray[Any]]
CALIBRATION: Final = ".calib.npz"  # what onnxq writes itself is no data
ARRAYS: Final = frozenset({".npy", ".npz"})


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """One input of a model; `shape` has None where any size fits."""

    name: str
    dtype: np.dtype[Any]
    shape: Shape

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} {_x(self.shape)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one run of the model is fed; `digest` is the SHA-256 (hex) of what it was made from."""

    name: str
    tensors: Tensors
    digest: str


@dataclass(slots=True, kw_only=True)
class Feed:
    """Samples read when iterated; files that cannot be read are left out and told in `skipped`.

    Every iteration yields the same samples in the same order. `preprocess` is None for arrays.
    """

    files: tuple[Path, ...]
    inputs: tuple[InputSpec, ...]
    preprocess: Preprocess | None
    skipped: list[Diagnostic] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Sample]:
        self.skipped.clear()
        count = 0
        for file in self.files:
            for sample in self._read(file):
                count += 1
                yield sample
        if not count and self.skipped:
            raise error(
                "OQ401",
                f"none of the {len(self.files)} files could be read, the first: "
                f"{self.skipped[0].message}",
                fix="give pictures that Pillow opens",
            )
        if not count:
            raise error("OQ401", f"'{self.files[0]}' holds no sample", fix="save some in it")

    def _read(self, file: Path) -> Iterator[Sample]:
        if file.suffix.lower() in ARRAYS:
            yield from _arrays(file, self.inputs)
            return
        try:
            sample = self._picture(file)
        except Exception as reason:  # Pillow raises a dozen types on damaged bytes
            told = f"'{file}' was left out: {_first_line(reason)}"
            self.skipped.append(warning("OQ402", told, fix="replace or remove it"))
        else:
            yield sample

    def _picture(self, file: Path) -> Sample:
        (spec,) = self.inputs
        assert self.preprocess is not None
        content = hashlib.sha256(file.read_bytes())
        with Image.open(file) as picture:
            picture.load()
            tensor = self.preprocess.apply(picture, _fixed(spec))
        content.update(repr((self.preprocess.model_dump(), spec.shape)).encode())
        return Sample(name=file.name, tensors={spec.name: tensor}, digest=content.hexdigest())


def input_specs(graph: Graph, shapes: Mapping[str, Sequence[int]]) -> tuple[InputSpec, ...]:
    """Inputs of the model; a symbolic first dimension is a batch of 1 unless `shapes` says else."""
    for name in shapes:
        if name not in graph.inputs:
            fix = did_you_mean(name, graph.inputs)
            raise error("OQ403", f"--shape names '{name}', which is not an input", fix=fix)
    return tuple(_spec(graph, name, shapes.get(name)) for name in graph.inputs)


def _spec(graph: Graph, name: str, given: Sequence[int] | None) -> InputSpec:
    kind = graph.declared[name]
    declared: Shape = tuple(d if isinstance(d, int) and d > 0 else None for d in kind.shape or ())
    if kind.dtype == 0:
        fix = "onnxq runs models with tensor inputs; give such an export"
        raise error("OQ404", f"the model's input '{name}' is not a tensor of a known type", fix=fix)
    dtype = helper.tensor_dtype_to_np_dtype(kind.dtype)
    if given is None:
        return InputSpec(name=name, dtype=dtype, shape=declared)
    fits = len(given) == len(declared) or kind.shape is None
    if not fits or any(d not in (None, g) for g, d in zip(given, declared, strict=False)):
        raise error(
            "OQ404",
            f"--shape {name}:{_x(given)} does not fit the model's input {name}: {_x(declared)}",
            fix=f"give {len(declared)} sizes that agree with the model's",
        )
    return InputSpec(name=name, dtype=dtype, shape=tuple(given))


def _x(shape: Sequence[int | str | None]) -> str:
    return "x".join("?" if d is None else str(d) for d in shape)


def open_feed(
    source: str | Path,
    graph: Graph,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    how: Preprocess | None = None,
) -> Feed:
    """Open a picture, an .npy or .npz file, or a folder of them, searched recursively.

    Pictures need a model with one image-like input, whose sizes are known or given in `shapes`;
    `how` is then the preprocessing, by default `preprocess.DEFAULT`. Raises OQ401 to OQ406.
    """
    inputs = input_specs(graph, shapes or {})
    files = _files(Path(source))
    arrays = [f for f in files if f.suffix.lower() in ARRAYS]
    if 0 < len(arrays) < len(files):
        other = next(f for f in files if f not in arrays)
        raise error(
            "OQ401",
            f"'{source}' holds both arrays ('{arrays[0].name}') and pictures ('{other.name}')",
            fix="keep one kind in a folder",
        )
    if arrays:
        if how is not None:
            raise error(
                "OQ406",
                "--preprocess is for pictures, and the data are arrays",
                fix="leave it out, or give pictures",
            )
        return Feed(files=tuple(arrays), inputs=inputs, preprocess=None)
    if len(inputs) != 1 or not _is_image(inputs[0]):
        raise error(
            "OQ404",
            f"pictures need a model with one image input, not {'; '.join(map(str, inputs))}",
            fix="give .npz files with one array an input",
        )
    spec = _sized(inputs[0])
    how = how or preprocess.load(preprocess.DEFAULT)
    how.require_fit(_fixed(spec))
    return Feed(files=tuple(files), inputs=(spec,), preprocess=how)


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise error("OQ401", f"the data '{source}' does not exist", fix="give a file or a folder")
    readable = ARRAYS | Image.registered_extensions().keys()
    found = sorted(
        p
        for p in source.rglob("*")
        if p.suffix.lower() in readable and not p.name.endswith(CALIBRATION) and p.is_file()
    )
    if not found:
        raise error(
            "OQ401",
            f"the folder '{source}' has no pictures and no .npy or .npz files",
            fix="give a folder with samples of what the model will see",
        )
    return found


def _is_image(spec: InputSpec) -> bool:
    return (
        len(spec.shape) == 4
        and spec.dtype == np.float32
        and (spec.shape[1] in (1, 3) or spec.shape[3] in (1, 3) or None in spec.shape)
    )


def _sized(spec: InputSpec) -> InputSpec:
    """Fill in a batch of 1; every other size must be known."""
    shape = (spec.shape[0] or 1, *spec.shape[1:])
    if None in shape or shape[0] != 1:
        raise error(
            "OQ405",
            f"the size of input '{spec.name}' is not fixed ({_x(spec.shape)})"
            if None in shape
            else f"input '{spec.name}' takes batches of {shape[0]} pictures ({_x(spec.shape)})",
            fix=f"give one, such as --shape {spec.name}:1x3x640x640"
            if None in shape
            else "give .npy files with whole batches",
        )
    return InputSpec(name=spec.name, dtype=spec.dtype, shape=shape)


def _fixed(spec: InputSpec) -> tuple[int, ...]:
    return tuple(int(d) for d in spec.shape if d is not None)


def _arrays(file: Path, inputs: tuple[InputSpec, ...]) -> Iterator[Sample]:
    """Yield the samples of a NumPy file; the first axis is cut into batches of the model's size."""
    arrays = _loaded(file, inputs)
    batches = {spec.name: _batches(file, arrays[spec.name], spec) for spec in inputs}
    counts = {name: len(b) for name, b in batches.items()}
    if len(set(counts.values())) > 1 and all(_fits(arrays[s.name].shape, s.shape) for s in inputs):
        batches = {s.name: [arrays[s.name].astype(s.dtype, copy=False)] for s in inputs}
        counts = dict.fromkeys(batches, 1)
    if len(set(counts.values())) > 1:
        raise error(
            "OQ404",
            f"'{file}' has different numbers of samples: {counts}",
            fix="give every input the same number",
        )
    for index in range(next(iter(counts.values()))):
        tensors = {name: b[index] for name, b in batches.items()}
        digest = sample_digest(tensors)
        yield Sample(name=f"{file.name}[{index}]", tensors=tensors, digest=digest)


def sample_digest(tensors: Tensors) -> str:
    """Return the sha256 (hex) of one sample: its tensors' names, types, shapes and values."""
    total = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        total.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def _loaded(file: Path, inputs: tuple[InputSpec, ...]) -> dict[str, NDArray[Any]]:
    try:
        content = np.load(file, allow_pickle=False)
        npz = isinstance(content, np.lib.npyio.NpzFile)
        arrays = {name: np.asarray(content[name]) for name in content} if npz else None
    except Exception as reason:  # a damaged zip or array fails in a dozen ways
        told = f"'{file}' cannot be read: {_first_line(reason)}"
        raise error("OQ401", told, fix="save it with numpy") from None
    if arrays is None:
        arrays = {inputs[0].name: content} if len(inputs) == 1 else {file.name: content}
    wanted = {spec.name for spec in inputs}
    problems = [
        Diagnostic(
            code="OQ403",
            message=f"'{file}' has an array '{name}', which is not an input",
            fix=did_you_mean(name, wanted),
        )
        for name in sorted(arrays.keys() - wanted)
    ] or [
        Diagnostic(
            code="OQ403",
            message=f"'{file}' has no array for the input '{name}'",
            fix="add it to the file",
        )
        for name in sorted(wanted - arrays.keys())
    ]
    if problems:
        raise OnnxqError(*problems)
    return arrays


def _first_line(reason: Exception) -> str:
    return next(iter(str(reason).splitlines()), type(reason).__name__)


def _batches(file: Path, array: NDArray[Any], spec: InputSpec) -> list[NDArray[Any]]:
    if not np.can_cast(array.dtype, spec.dtype, casting="same_kind"):
        raise _unfit(file, array, spec)
    with np.errstate(over="ignore"):  # values beyond float32 become Inf, which OQ415 tells
        array = array.astype(spec.dtype, copy=False)
    symbolic = len(spec.shape) > 1 and spec.shape[0] is None
    if _fits(array.shape, spec.shape) and not symbolic:
        return [array]
    size = 1 if symbolic or not spec.shape else spec.shape[0]
    whole = isinstance(size, int) and array.ndim and array.shape[0] % size == 0
    if not whole or not _fits((size, *array.shape[1:]), spec.shape):
        raise _unfit(file, array, spec)
    assert isinstance(size, int)
    return [array[i : i + size] for i in range(0, array.shape[0], size)]


def _fits(have: Sequence[int | str | None], want: Shape) -> bool:
    return len(have) == len(want) and all(w in (None, h) for h, w in zip(have, want, strict=True))


def _unfit(file: Path, array: NDArray[Any], spec: InputSpec) -> OnnxqError:
    return error(
        "OQ404",
        f"'{file}': the array '{spec.name}' is {array.dtype} {_x(array.shape)}, "
        f"the model's input is {spec.dtype} {_x(spec.shape)}",
        fix="save arrays of that type and shape, or several along the first axis",
    )
