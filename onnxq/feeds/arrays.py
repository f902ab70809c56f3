"""Samples from .npy and .npz files. Sizes are read first, from the headers, values when needed."""

from __future__ import annotations

import itertools
import zipfile
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from onnxq.diagnostics import OnnxqError, error, first_line
from onnxq.feeds.fitting import Cut, cut, require_names, require_type, sample
from onnxq.feeds.samples import InputSpec, Sample, Tensors
from onnxq.feeds.source import EndOfDataError, Reader

SUFFIXES: Final = frozenset({".npy", ".npz"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrays:
    """Samples in NumPy files; `cuts` says how each file is cut."""

    files: tuple[Path, ...]
    inputs: tuple[InputSpec, ...]
    cuts: tuple[Cut, ...]
    threads: int = 1

    @property
    def length(self) -> int:
        """Number of samples in all files."""
        return sum(cut.count for cut in self.cuts)

    def reader(self) -> Reader:
        """One file after the other is held in memory; an .npy file is only mapped into it."""
        return _Pass(self).read


def open_arrays(files: tuple[Path, ...], inputs: tuple[InputSpec, ...]) -> Arrays:
    """Look at every file's header. Errors: OQ401 unreadable or no sample, OQ403 names, OQ404."""
    cuts = tuple(_cut(file, inputs) for file in files)
    if not sum(one.count for one in cuts):
        raise error("OQ401", f"'{files[0]}' holds no sample", fix="save some in it")
    return Arrays(files=files, inputs=inputs, cuts=cuts)


class _Pass:
    def __init__(self, arrays: Arrays) -> None:
        self.of = arrays
        self.firsts = [0, *itertools.accumulate(cut.count for cut in arrays.cuts)]
        self.held: tuple[int, Tensors] = (-1, {})

    def read(self, number: int) -> Sample:
        which = bisect_right(self.firsts, number) - 1
        if which >= len(self.of.files):
            raise EndOfDataError
        file, how = self.of.files[which], self.of.cuts[which]
        if self.held[0] != which:
            self.held = (-1, {})  # let go of the last file before the next is read
            self.held = (which, _loaded(file, self.of.inputs))
        index = number - self.firsts[which]
        name = str(file) if how.count == 1 else f"{file}[{index}]"
        return sample(name, how.sample(self.held[1], index), self.of.inputs)


def _cut(file: Path, inputs: tuple[InputSpec, ...]) -> Cut:
    headers = _headers(file)
    where = str(file)
    if file.suffix.lower() == ".npy":
        headers = {inputs[0].name if len(inputs) == 1 else file.name: headers[""]}
    require_names(where, headers, inputs)
    for spec in inputs:
        require_type(where, headers[spec.name][1], spec)
    return cut(where, {name: shape for name, (shape, _) in headers.items()}, inputs, rows=True)


_Header = tuple[tuple[int, ...], np.dtype[Any]]


def _headers(file: Path) -> Mapping[str, _Header]:
    """Shape and type of each array, without reading its values."""
    try:
        if file.suffix.lower() == ".npy":
            with file.open("rb") as stream:
                return {"": _header(stream)}
        with zipfile.ZipFile(file) as archive:
            found = {}
            for member in archive.namelist():
                with archive.open(member) as stream:
                    found[member.removesuffix(".npy")] = _header(stream)
            return found
    except Exception as reason:
        raise _unreadable(file, reason) from None


def _header(stream: IO[bytes]) -> _Header:
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, _, dtype = read[version](stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    return shape, dtype


def _loaded(file: Path, inputs: tuple[InputSpec, ...]) -> Tensors:
    try:
        if file.suffix.lower() == ".npy":
            return {inputs[0].name: np.load(file, mmap_mode="r", allow_pickle=False)}
        with np.load(file, allow_pickle=False) as content:
            return {spec.name: content[spec.name] for spec in inputs}
    except Exception as reason:  # a damaged zip or array fails in a dozen ways
        raise _unreadable(file, reason) from None


def _unreadable(file: Path, reason: Exception) -> OnnxqError:
    told = f"'{file}' cannot be read: {first_line(reason)}"
    return error("OQ401", told, fix="save it with numpy")
