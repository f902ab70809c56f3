"""Samples from .npy and .npz files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.diagnostics import Diagnostic, OnnxqError, did_you_mean, error, first_line
from onnxq.graph import Shape
from onnxq.samples import InputSpec, Sample, sample_digest, shape_text


def read_arrays(file: Path, inputs: tuple[InputSpec, ...]) -> Iterator[Sample]:
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


def _loaded(file: Path, inputs: tuple[InputSpec, ...]) -> dict[str, NDArray[Any]]:
    try:
        content = np.load(file, allow_pickle=False)
        npz = isinstance(content, np.lib.npyio.NpzFile)
        arrays = {name: np.asarray(content[name]) for name in content} if npz else None
    except Exception as reason:  # a damaged zip or array fails in a dozen ways
        told = f"'{file}' cannot be read: {first_line(reason)}"
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
        f"'{file}': the array '{spec.name}' is {array.dtype} {shape_text(array.shape)}, "
        f"the model's input is {spec.dtype} {shape_text(spec.shape)}",
        fix="save arrays of that type and shape, or several along the first axis",
    )
