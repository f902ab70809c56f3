"""Calibration files as somebody makes them who knows the format: any content, a checksum that fits.

A checksum alone would hide what else `Statistics.load` has to refuse.
"""

import hashlib
import io
import json
import warnings
import zipfile

import numpy as np

NAMES = ("meta", "gaps", "counts", "offsets")


def npy(array, **options):
    """An array as the content of a .npy file."""
    content = io.BytesIO()
    np.lib.format.write_array(content, np.asarray(array), **options)
    return content.getvalue()


def sealed(content):
    """The bytes with a checksum that fits, in the place of their last 64."""
    return content[:-64] + hashlib.sha256(content[:-64]).hexdigest().encode()


def archive(entries, version=2):
    """A calibration of (name, bytes) entries; a name may come twice."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries:
            with warnings.catch_warnings(action="ignore"):  # of a name that comes twice
                file.writestr(name, content)
        file.comment = f"onnxq calibration {version} sha256 {'0' * 64}".encode()
    return sealed(made.getvalue())


def arrays_of(path):
    """The arrays of a calibration, and its JSON apart."""
    with np.load(path) as npz:
        arrays = dict(npz)
    return arrays, json.loads(arrays["meta"].tobytes())


def of_arrays(arrays, meta, version=2):
    """A calibration of arrays and a JSON value."""
    text = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    return archive([(f"{n}.npy", npy({**arrays, "meta": text}[n])) for n in NAMES], version)
