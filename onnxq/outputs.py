"""Where results are written: never over an input, and never two results to one file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from onnxq.diagnostics import error
from onnxq.files import LONGEST_NAME


def require_writable(outputs: Mapping[str, Path | None], inputs: Iterable[Path | None]) -> None:
    """Check all outputs of a run before it begins (OQ501, OQ502).

    `outputs` maps what messages call an output, such as "the calibration", to its path; None is an
    output that was not asked for. `inputs` are the files that must not be overwritten.
    """
    sources = [path for path in inputs if path is not None]
    owners: dict[Path, str] = {}
    for name, path in outputs.items():
        if path is None:
            continue
        _require_place(path)
        if os.path.exists(path) and any(os.path.exists(i) and path.samefile(i) for i in sources):
            raise error("OQ502", f"'{path}' is one of the inputs", fix="write to another file")
        owner = owners.setdefault(path.resolve(), name)
        if owner != name:
            fix = "give another file for one of them"
            raise error("OQ502", f"'{path}' is both {owner} and {name}", fix=fix)


def _is_name(path: Path) -> bool:
    """Whether the system takes the path."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _require_place(path: Path) -> None:
    """Raise OQ501 where no regular file can be written."""
    if not _is_name(path):
        message = f"{str(path)!a} is no name of a file"
        raise error("OQ501", message, fix="write to another file")
    if path == Path("-"):
        raise error("OQ501", "'-' is no file, and nothing is written to stdout", fix="name a file")
    if not os.path.isdir(path.parent):
        fix = "make it, or write to another file"
        raise error("OQ501", f"the folder of '{path}' does not exist", fix=fix)
    if not os.access(path.parent, os.W_OK | os.X_OK):  # better now than after hours
        message = f"the folder of '{path}' is not writable"
        raise error("OQ501", message, fix="write to another file")
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        message = f"the file name '{path.name}' is too long"
        fix = f"give the output a name of at most {LONGEST_NAME} bytes"
        raise error("OQ501", message, fix=fix)
    if os.path.isdir(path):
        raise error("OQ501", f"'{path}' is a folder", fix="give the name of a file")
    if os.path.exists(path) and not os.path.isfile(path):  # such as /dev/null, not to be replaced
        raise error("OQ501", f"'{path}' is not a regular file", fix="write to another file")
