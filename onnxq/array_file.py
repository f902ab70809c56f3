"""A container of named 1-D arrays: one .npz file that can be trusted.

The file is an ordinary compressed .npz, which numpy can read. Its zip comment ends the file and
holds the version of the format and a sha256 of everything before that digest, so that a file that
was cut off or changed anywhere is refused before it is parsed. The digest is no signature: whoever
rewrites a file can compute a new one. So the sizes that an entry claims are checked against bounds
before anything is read or allocated, and nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import numpy as np
import numpy.typing as npt

from onnxq.diagnostics import OnnxqError, error, first_line
from onnxq.files import whole_file

Arrays = Mapping[str, npt.NDArray[Any]]

_DIGITS: Final = 64  # of a sha256, in hex; the last bytes of the file
_TRAILER: Final = re.compile(rb"onnxq ([a-z ]{1,30}?) (\d{1,6}) sha256 ([0-9a-f]{64})\Z")
_TRAILER_SIZE: Final = 128
_BLOCK: Final = 1 << 20
_NPY_HEADER: Final = 10_000  # characters; numpy's own bound
# Limits of the unpacked size: this, plus so many times the packed size (real files: 2 to 6).
_SMALL: Final = 64 << 20
_RATIO: Final = 256
_LARGEST: Final = 4 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayFile:
    """A kind of file: what it holds, such as "calibration", its version and types of arrays.

    `codes` are those of the errors: no such file, unusable, written by a newer onnxq. `command`
    makes such a file, and `again` says so.
    """

    kind: str
    version: int
    dtypes: Mapping[str, type[np.generic]]
    codes: tuple[str, str, str]
    command: str
    again: str

    @property
    def noun(self) -> str:
        """The kind with its article."""
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"

    def write(self, path: str | Path, arrays: Arrays) -> None:
        """Write all arrays, whole or not at all; equal arrays give equal bytes (OQ501)."""
        with whole_file(path) as part, part.open("w+b") as file:
            with zipfile.ZipFile(file, "w") as archive:
                for name in self.dtypes:
                    entry = zipfile.ZipInfo(f"{name}.npy")  # of 1980: bytes depend on content alone
                    entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
                    with archive.open(entry, "w", force_zip64=True) as stream:
                        np.lib.format.write_array(stream, arrays[name], allow_pickle=False)
                trailer = f"onnxq {self.kind} {self.version} sha256 {'0' * _DIGITS}"
                archive.comment = trailer.encode()
            digest = _digest(file)
            file.seek(-_DIGITS, 2)
            file.write(digest.encode())

    def read(self, path: str | Path) -> Arrays:
        """Return the arrays that `write` wrote, read-only.

        Raises the errors of `codes`: the second also for a damaged file.
        """
        path = Path(path)
        if not os.path.exists(path):
            raise error(
                self.codes[0],
                f"{self.kind} '{path}' does not exist",
                fix=f"run '{self.command}', or correct the path",
            )
        if not os.path.isfile(path):  # a pipe would block
            raise self.unusable(path, "it is not a regular file")
        try:
            with path.open("rb") as file:
                self._check_whole(path, file)
                return self._arrays(file)
        except OnnxqError:
            raise
        except Exception as cause:  # a zip made to deceive fails in dozens of ways
            raise self.unusable(path, first_line(cause)) from cause

    def unusable(self, path: str | Path, why: str) -> OnnxqError:
        """The error that the file is not one of this kind that this version can read."""
        return error(
            self.codes[1],
            f"'{path}' is not {self.noun} that this version can read: {why}",
            fix=f"make it again with '{self.command}'",
        )

    def _check_whole(self, path: Path, file: BinaryIO) -> None:
        size = file.seek(0, 2)
        file.seek(-min(size, _TRAILER_SIZE), 2)
        trailer = _TRAILER.search(file.read())
        if trailer is None or trailer[1].decode() != self.kind:
            file.seek(0)
            why = "it is damaged or cut off, or was not written by onnxq"
            if trailer is not None:
                why = f"it is another kind of file: {trailer[1].decode()}"
            raise self.unusable(path, why if file.read(2) == b"PK" else "it is not an .npz file")
        if _digest(file) != trailer[3].decode():
            raise self.unusable(
                path, "it was changed since it was written: its checksum does not fit"
            )
        version = int(trailer[2])
        if version > self.version:
            raise error(
                self.codes[2],
                f"'{path}' is of format {version}, from a newer onnxq; this one reads up to "
                f"{self.version}",
                fix=f"update it with 'pip install --upgrade onnxq', or {self.again}",
            )
        if version < self.version:
            raise self.unusable(path, f"it is of format {version}, which is no longer read")

    def _arrays(self, file: BinaryIO) -> Arrays:
        packed = file.seek(0, 2)
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            if sorted(names) != sorted(f"{name}.npy" for name in self.dtypes):
                raise ValueError(f"it has other arrays than {self.noun}")
            unpacked = sum(entry.file_size for entry in entries)
            if unpacked > min(_LARGEST, _SMALL + _RATIO * packed):
                raise ValueError(f"it would take {unpacked / 2**20:,.0f} MiB unpacked")
            return {name: _array(archive, name, dtype) for name, dtype in self.dtypes.items()}


def _digest(file: BinaryIO) -> str:
    """sha256 of all but the last 64 bytes, in hex."""
    left = file.seek(0, 2) - _DIGITS
    file.seek(0)
    total = hashlib.sha256()
    while block := file.read(min(left, _BLOCK)):
        total.update(block)
        left -= len(block)
    return total.hexdigest()


def _array(archive: zipfile.ZipFile, name: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Read one entry; zipfile reads no more of it than its size in the directory, and its CRC."""
    with archive.open(f"{name}.npy") as entry:
        stream = cast(BinaryIO, entry)
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"the array '{name}' has an unknown format")
        shape, _, own = np.lib.format.read_array_header_1_0(stream, max_header_size=_NPY_HEADER)
        data = stream.read()
    if own != dtype or shape != (len(data) // own.itemsize,) or len(data) % own.itemsize:
        raise ValueError(f"the array '{name}' has another type or size")
    return np.frombuffer(data, own)
