"""The container of a calibration: named 1-D arrays in one .npz file that can be trusted.

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
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import numpy as np
import numpy.typing as npt

from onnxq.diagnostics import OnnxqError, error, first_line
from onnxq.files import whole_file

VERSION: Final = 2  # version 1, which was never released, had no digest
DTYPES: Final = {"meta": np.uint8, "gaps": np.int32, "counts": np.int64, "offsets": np.int64}

Arrays = Mapping[str, npt.NDArray[Any]]

_DIGITS: Final = 64  # of a sha256, in hex; the last bytes of the file
_TRAILER: Final = re.compile(rb"onnxq calibration (\d{1,6}) sha256 ([0-9a-f]{64})\Z")
_TRAILER_SIZE: Final = 128
_BLOCK: Final = 1 << 20
_NPY_HEADER: Final = 10_000  # characters; numpy's own bound
# Limits of the unpacked size: this, plus so many times the packed size (real files: 2 to 6).
_SMALL: Final = 64 << 20
_RATIO: Final = 256
_LARGEST: Final = 4 << 30


def write(path: str | Path, arrays: Arrays) -> None:
    """Write the arrays of `DTYPES`, whole or not at all; equal arrays give equal bytes (OQ501)."""
    with whole_file(path) as part, part.open("w+b") as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name in DTYPES:
                entry = zipfile.ZipInfo(f"{name}.npy")  # of 1980: bytes depend on content alone
                entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
                with archive.open(entry, "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, arrays[name], allow_pickle=False)
            archive.comment = b"onnxq calibration %d sha256 %s" % (VERSION, b"0" * _DIGITS)
        digest = _digest(file)
        file.seek(-_DIGITS, 2)
        file.write(digest.encode())


def read(path: str | Path) -> Arrays:
    """Return the arrays that `write` wrote, read-only.

    Errors: OQ410 no such file, OQ412 not a calibration, or a damaged one, OQ440 a newer version.
    """
    path = Path(path)
    if not os.path.exists(path):
        raise error(
            "OQ410",
            f"calibration '{path}' does not exist",
            fix="run 'onnxq calibrate', or correct the path",
        )
    if not os.path.isfile(path):  # a pipe would block
        raise unusable(path, "it is not a regular file")
    try:
        with path.open("rb") as file:
            _check_whole(path, file)
            return _arrays(file)
    except OnnxqError:
        raise
    except Exception as cause:  # a zip made to deceive fails in dozens of ways
        raise unusable(path, first_line(cause)) from cause


def unusable(path: str | Path, why: str) -> OnnxqError:
    """Build OQ412: the file is not a calibration that this version can read."""
    return error(
        "OQ412",
        f"'{path}' is not a calibration that this version can read: {why}",
        fix="make it again with 'onnxq calibrate'",
    )


def _check_whole(path: Path, file: BinaryIO) -> None:
    size = file.seek(0, 2)
    file.seek(-min(size, _TRAILER_SIZE), 2)
    trailer = _TRAILER.search(file.read())
    if trailer is None:
        file.seek(0)
        why = "it is damaged or cut off, or was not written by onnxq"
        raise unusable(path, why if file.read(2) == b"PK" else "it is not an .npz file")
    if _digest(file) != trailer[2].decode():
        raise unusable(path, "it was changed since it was written: its checksum does not fit")
    version = int(trailer[1])
    if version > VERSION:
        raise error(
            "OQ440",
            f"'{path}' is of format {version}, from a newer onnxq; this one reads up to {VERSION}",
            fix="update it with 'pip install --upgrade onnxq', or calibrate again",
        )
    if version < VERSION:
        raise unusable(path, f"it is of format {version}, which is no longer read")


def _digest(file: BinaryIO) -> str:
    """sha256 of all but the last 64 bytes, in hex."""
    left = file.seek(0, 2) - _DIGITS
    file.seek(0)
    total = hashlib.sha256()
    while block := file.read(min(left, _BLOCK)):
        total.update(block)
        left -= len(block)
    return total.hexdigest()


def _arrays(file: BinaryIO) -> Arrays:
    packed = file.seek(0, 2)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if sorted(names) != sorted(f"{name}.npy" for name in DTYPES):
            raise ValueError("it has other arrays than a calibration")
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > min(_LARGEST, _SMALL + _RATIO * packed):
            raise ValueError(f"it would take {unpacked / 2**20:,.0f} MiB unpacked")
        return {name: _array(archive, name) for name in DTYPES}


def _array(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    """Read one entry; zipfile reads no more of it than its size in the directory, and its CRC."""
    with archive.open(f"{name}.npy") as entry:
        stream = cast(BinaryIO, entry)
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"the array '{name}' has an unknown format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=_NPY_HEADER)
        data = stream.read()
    if (
        dtype != DTYPES[name]
        or shape != (len(data) // dtype.itemsize,)
        or len(data) % dtype.itemsize
    ):
        raise ValueError(f"the array '{name}' has another type or size")
    return np.frombuffer(data, dtype)
