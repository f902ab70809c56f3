"""Arrays -> inputs of the model: names, cutting into samples, types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onnxq.diagnostics import Diagnostic, OnnxqError, did_you_mean, error
from onnxq.feeds.samples import InputSpec, Sample, Tensors, sample_digest, shape_text
from onnxq.model.graph import Shape


class Rows(Protocol):
    """An array, or an object that reads its rows."""

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """Rows of the first axis."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How arrays become `count` samples: rows of the first axis for each, None for all of them.

    Of the arrays in `stacked` a sample is one row without that axis. `shapes` are those of one
    sample.
    """

    count: int
    rows: Mapping[str, int | None]
    stacked: frozenset[str]
    shapes: Mapping[str, tuple[int, ...]]

    def sample(self, arrays: Mapping[str, Rows], index: int) -> Tensors:
        """Slice the arrays of one sample."""
        return {
            name: _sliced(arrays[name], rows, index, drop=name in self.stacked)
            for name, rows in self.rows.items()
        }


def _sliced(array: Rows, rows: int | None, index: int, *, drop: bool) -> NDArray[Any]:
    if rows is not None:
        part = array[index * rows : (index + 1) * rows]
        return part.reshape(part.shape[1:]) if drop else part
    return array if isinstance(array, np.ndarray) else array[:]


def require_names(where: str, have: Iterable[str], inputs: Sequence[InputSpec]) -> None:
    """Raise OQ403 unless the names are those of the inputs."""
    names, wanted = set(have), {spec.name for spec in inputs}
    problems = [
        Diagnostic(
            code="OQ403",
            message=f"'{where}' has an array '{name}', which is not an input",
            fix=did_you_mean(name, wanted),
        )
        for name in sorted(names - wanted)
    ] or [
        Diagnostic(
            code="OQ403",
            message=f"'{where}' has no array for the input '{name}'",
            fix="add it",
        )
        for name in sorted(wanted - names)
    ]
    if problems:
        raise OnnxqError(*problems)


def cut(
    where: str, shapes: Mapping[str, tuple[int, ...]], inputs: Sequence[InputSpec], *, rows: bool
) -> Cut:
    """Decide how arrays of these shapes are cut (OQ404).

    An array of the input's shape is one sample; with more along the first axis, or with one more
    axis in front, it is several. Where the first dimension is dynamic, `rows` says that every row
    is a sample, if the inputs have the same number of them.
    """
    stacked = frozenset(s.name for s in inputs if _is_stacked(shapes[s.name], s))
    sizes = {
        spec.name: 1 if spec.name in stacked else _rows(where, shapes[spec.name], spec, rows)
        for spec in inputs
    }
    counts = {n: 1 if size is None else shapes[n][0] // size for n, size in sizes.items()}
    if len(set(counts.values())) == 1:
        each = {n: shapes[n] if s is None else (s, *shapes[n][1:]) for n, s in sizes.items()}
        each |= {name: shapes[name][1:] for name in stacked}
        return Cut(next(iter(counts.values())), sizes, stacked, each)
    if all(spec.any_rank or _fits(shapes[spec.name], spec.shape) for spec in inputs):
        return Cut(1, dict.fromkeys(sizes), frozenset(), shapes)
    raise error(
        "OQ404",
        f"'{where}' has different numbers of samples: "
        + ", ".join(f"{count} of '{name}'" for name, count in counts.items()),
        fix="give every input the same number",
    )


def _is_stacked(have: tuple[int, ...], spec: InputSpec) -> bool:
    """True for whole samples along an axis that the input does not have."""
    return not spec.any_rank and bool(have) and _fits(have[1:], spec.shape)


def _turned(have: tuple[int, ...], shape: Shape) -> str:
    """The fix for pictures whose channels are at the other end."""
    for axes in ((0, 3, 1, 2), (0, 2, 3, 1)):
        if len(have) == 4 and _fits(tuple(have[axis] for axis in axes), shape):
            return f"the channels are elsewhere: give array.transpose{axes}"
    return ""


def _rows(where: str, have: tuple[int, ...], spec: InputSpec, rows: bool) -> int | None:
    if spec.any_rank:
        return None
    dynamic = len(spec.shape) > 1 and spec.shape[0] is None
    if _fits(have, spec.shape) and not (dynamic and rows):
        return None
    size = 1 if dynamic or not spec.shape else spec.shape[0]
    whole = isinstance(size, int) and size and have and have[0] % size == 0
    if not whole or not _fits((size, *have[1:]), spec.shape):
        raise error(
            "OQ404",
            f"'{where}': the array '{spec.name}' is {shape_text(have) or 'a scalar'}, "
            f"the model's input is {spec.dtype} {spec.size}",
            fix=_turned(have, spec.shape)
            or "give arrays of that shape, or several along the first axis",
        )
    assert isinstance(size, int)
    return size


def _fits(have: Sequence[int | str | None], want: Shape) -> bool:
    return len(have) == len(want) and all(w in (None, h) for h, w in zip(have, want, strict=True))


def require_type(where: str, dtype: np.dtype[Any], spec: InputSpec) -> None:
    """Raise OQ404 unless values of that type can be converted to the input's.

    Integers and booleans are converted to any type if no value changes, floats to floats.
    """
    kinds = np.dtype(dtype).kind, spec.dtype.kind
    if dtype != spec.dtype and not (kinds[0] in "iub" or kinds == ("f", "f")):
        raise error(
            "OQ404",
            f"'{where}': the array '{spec.name}' is {dtype}, the model's input is {spec}",
            fix=f"convert it with .astype('{spec.dtype}') if its values mean the same",
        )


def converted(where: str, array: NDArray[Any], spec: InputSpec) -> NDArray[Any]:
    """Return the array with the input's type; OQ404 when a value is out of its range."""
    require_type(where, array.dtype, spec)
    if array.dtype == spec.dtype:
        return np.ascontiguousarray(array).reshape(array.shape)
    with np.errstate(all="ignore"):  # a loader may have let NumPy raise errors
        values = array.astype(spec.dtype)
    if array.dtype.kind == "f":
        wrong = np.isinf(values) & np.isfinite(array)
    elif spec.dtype.kind == "f":
        wrong = ~np.isfinite(values)
    else:
        wrong = values.astype(array.dtype) != array
        wrong |= (values < 0) != (array < 0)
    if wrong.any():
        raise error(
            "OQ404",
            f"'{where}': the array '{spec.name}' is {array.dtype} and has {array[wrong].flat[0]}, "
            f"which is no {spec.dtype}",
            fix="correct the data, or the type of the model's input",
        )
    return values


def numbered(where: str, how: Cut, index: int) -> str:
    """What errors call a sample of some arrays: `where[3]`, or `where` when it is the only one."""
    return where if how.count == 1 else f"{where}[{index}]"


def samples(where: str, arrays: Tensors, inputs: Sequence[InputSpec]) -> Iterator[Sample]:
    """Yield the samples in these arrays, of any size where the batch is dynamic (OQ403, OQ404)."""
    require_names(where, arrays, inputs)
    for spec in inputs:
        require_type(where, arrays[spec.name].dtype, spec)
    how = cut(where, {name: array.shape for name, array in arrays.items()}, inputs, rows=False)
    for index in range(how.count):
        yield sample(numbered(where, how, index), how.sample(arrays, index), inputs)


def sample(where: str, arrays: Tensors, inputs: Sequence[InputSpec]) -> Sample:
    """One sample, its types converted."""
    tensors = {spec.name: converted(where, arrays[spec.name], spec) for spec in inputs}
    return Sample(name=where, tensors=tensors, digest=sample_digest(tensors))
