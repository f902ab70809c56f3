"""Samples from .npy and .npz files: headers are read first, values when a sample is needed."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from onnxq.diagnostics import Diagnostic, OnnxqError, counted, error, first_line, warning
from onnxq.feeds.checks import Alike
from onnxq.feeds.fitting import Cut, Rows, cut, numbered, require_names, require_type, sample
from onnxq.feeds.numbering import Numbering
from onnxq.feeds.samples import InputSpec, Sample
from onnxq.feeds.source import EndOfDataError, Reader, ReadWhole

SUFFIXES: Final = frozenset({".npy", ".npz"})
LARGE: Final = 512 << 20  # bytes; arrays above that in memory are reported


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrays(ReadWhole):
    """Samples in NumPy files; `cuts` says how each file is cut into samples."""

    files: tuple[Path, ...]
    inputs: tuple[InputSpec, ...]
    cuts: tuple[Cut, ...]
    threads: int = 1
    notes: tuple[Diagnostic, ...] = ()

    @property
    def length(self) -> int:
        """Number of samples in all files."""
        return self.numbering.length

    @property
    def numbering(self) -> Numbering:
        """The numbers of the samples in each file."""
        return Numbering(how.count for how in self.cuts)

    def reader(self) -> Reader:
        """One file at a time is open, and one sample of it in memory."""
        return _Pass(self).read

    def require_alike(self, numbers: Sequence[int]) -> None:
        """Compare the shapes that the headers say (OQ424)."""
        alike = Alike(self.inputs)
        for file, index in self.numbering.first_in_each(numbers):
            how = self.cuts[file]
            alike.require(numbered(str(self.files[file]), how, index), how.shapes)


def open_arrays(files: tuple[Path, ...], inputs: tuple[InputSpec, ...]) -> Arrays:
    """Look at every file's header. Errors: OQ401 unreadable or no sample, OQ403 names, OQ404."""
    by_file = tuple(zip(files, map(_headers, files), strict=True))
    cuts = tuple(_cut(file, headers, inputs) for file, headers in by_file)
    empty = [file for file, how in zip(files, cuts, strict=True) if not how.count]
    if len(empty) == len(files):
        raise error("OQ401", f"'{files[0]}' holds no sample", fix="save some in it")
    notes = [note for file, headers in by_file for note in _held(file, headers)]
    if empty:
        others = f", like {counted(len(empty) - 1, 'other file')}" if len(empty) > 1 else ""
        message = f"'{empty[0]}' holds no sample{others}"
        notes.append(warning("OQ438", message, fix="save some in it, or remove it"))
    return Arrays(files=files, inputs=inputs, cuts=cuts, notes=tuple(notes))


def held_in_memory(file: Path, size: int, fix: str) -> list[Diagnostic]:
    """Report a file whose `size` bytes take much memory (OQ439)."""
    if size <= LARGE:
        return []
    message = f"'{file}' is held in memory whole, {size / 2**20:,.0f} MiB"
    return [warning("OQ439", message, fix=fix)]


def _held(file: Path, headers: Mapping[str, _Header]) -> list[Diagnostic]:
    """Report arrays in archives that must be read whole: those in Fortran order (OQ439)."""
    if file.suffix.lower() == ".npy":
        return []
    columns = (h for h in headers.values() if h.columns)
    size = sum(h.dtype.itemsize * math.prod(h.shape) for h in columns)
    return held_in_memory(file, size, "save it with rows first: numpy.ascontiguousarray")


class _Pass:
    def __init__(self, arrays: Arrays) -> None:
        self.of, self.numbering = arrays, arrays.numbering
        self.file, self.open = -1, ExitStack()
        self.rows: Mapping[str, Rows] = {}

    def read(self, number: int) -> Sample:
        if number >= self.numbering.length:
            self.open.close()
            raise EndOfDataError
        which, index = self.numbering.place(number)
        file, how = self.of.files[which], self.of.cuts[which]
        try:
            if self.file != which:
                self.open.close()
                self.file, self.rows = which, _opened(file, self.of.inputs, self.open)
            arrays = how.sample(self.rows, index)
        except Exception as reason:  # a damaged zip or array fails in a dozen ways
            raise _unreadable(file, reason) from reason
        return sample(numbered(str(file), how, index), arrays, self.of.inputs)


def _cut(file: Path, headers: Mapping[str, _Header], inputs: tuple[InputSpec, ...]) -> Cut:
    where = str(file)
    if file.suffix.lower() == ".npy":
        headers = {inputs[0].name if len(inputs) == 1 else file.name: headers[""]}
    require_names(where, headers, inputs)
    for spec in inputs:
        require_type(where, headers[spec.name].dtype, spec)
    return cut(where, {name: header.shape for name, header in headers.items()}, inputs, rows=True)


@dataclass(frozen=True, slots=True)
class _Header:
    """The header of an array; with `columns` it is in Fortran order: no row is in one piece."""

    shape: tuple[int, ...]
    columns: bool
    dtype: np.dtype[Any]


def _headers(file: Path) -> Mapping[str, _Header]:
    """Shape and type of each array, without reading its values."""
    try:
        if file.suffix.lower() == ".npy":
            with file.open("rb") as stream:
                return {"": _header(stream)}
        with zipfile.ZipFile(file) as archive:
            headers = {}
            for member in archive.namelist():
                with archive.open(member) as stream:
                    headers[member.removesuffix(".npy")] = _header(stream)
            return headers
    except Exception as reason:  # as above
        raise _unreadable(file, reason) from reason


def _header(stream: IO[bytes]) -> _Header:
    version = np.lib.format.read_magic(stream)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, columns, dtype = readers[version](stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which onnxq never loads")
    return _Header(shape, columns and len(shape) > 1, dtype)


def _opened(file: Path, inputs: tuple[InputSpec, ...], stack: ExitStack) -> Mapping[str, Rows]:
    if file.suffix.lower() == ".npy":
        return {inputs[0].name: np.load(file, mmap_mode="r", allow_pickle=False)}
    archive = stack.enter_context(zipfile.ZipFile(file))
    return {spec.name: _member(archive, spec.name, stack) for spec in inputs}


def _member(archive: zipfile.ZipFile, name: str, stack: ExitStack) -> Rows:
    entries = archive.NameToInfo
    stream = stack.enter_context(archive.open(entries.get(f"{name}.npy") or entries[name]))
    header = _header(stream)
    if header.columns:
        with archive.open(stream.name) as again:
            return np.lib.format.read_array(again, allow_pickle=False)
    return _Streamed(stream, header)


class _Streamed:
    """An array in an archive, whose rows are read in ascending order when they are needed.

    Rows between them are unpacked and dropped. zipfile compares the checksum at the end.
    """

    def __init__(self, stream: IO[bytes], header: _Header) -> None:
        self._stream, self._header, self._at = stream, header, 0

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Rows of the first axis; all of them for a scalar."""
        shape, dtype = self._header.shape, self._header.dtype
        begin, end, _ = rows.indices(shape[0] if shape else 1)
        size = dtype.itemsize * math.prod(shape[1:])
        while self._at < begin:
            self._read(size)
            self._at += 1
        content = self._read((end - begin) * size)
        self._at = end
        if end == (shape[0] if shape else 1):
            self._stream.read(1)  # at the end zipfile detects damage
        return np.frombuffer(content, dtype).reshape((end - begin, *shape[1:]) if shape else ())

    def _read(self, size: int) -> bytes:
        content = self._stream.read(size)
        if len(content) < size:
            raise ValueError("it ends in the middle of an array")
        return content


def _unreadable(file: Path, reason: Exception) -> OnnxqError:
    why = first_line(reason) if file.stat().st_size else "it is empty"
    fix = "correct its permissions" if isinstance(reason, OSError) else "save it with numpy"
    return error("OQ401", f"'{file}' cannot be read: {why}", fix=fix)
