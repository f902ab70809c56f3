"""Where verbs write: never over what they read, nor two things to one place."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from onnxq.diagnostics import error


def output(path: Path, read: Iterable[Path | None], *, option: str = "-o") -> Path:
    """Return where to write, unless that is a file that is read (OQ502) or no place (OQ501)."""
    another = f"give another {option}"
    if not path.parent.is_dir():
        raise error("OQ501", f"the folder of '{path}' does not exist", fix=f"make it, or {another}")
    if not os.access(path.parent, os.W_OK | os.X_OK):  # better now than after hours
        raise error("OQ501", f"the folder of '{path}' cannot be written to", fix=another)
    if path.is_dir():
        raise error("OQ501", f"'{path}' is a folder", fix=f"give {option} the name of a file")
    if path.exists() and not path.is_file():  # such as /dev/null, which would be replaced
        raise error("OQ501", f"'{path}' is no regular file", fix=another)
    for given in read:
        if given is not None and path.exists() and given.exists() and path.samefile(given):
            raise error("OQ502", f"'{path}' is one of the inputs", fix=another)
    return path


def model_output(path: Path, read: Iterable[Path | None]) -> Path:
    """The same for a model, which may get a file of data beside it."""
    from onnxq.model.io import data_path

    given = tuple(read)
    output(path, given)
    output(data_path(path), given)
    return path


def require_different(outputs: Mapping[str, Path | None]) -> None:
    """Raise OQ502 when two outputs, named as the user knows them, are one file."""
    taken: dict[Path, str] = {}
    for name, path in outputs.items():
        if path is None:
            continue
        other = taken.setdefault(path.resolve(), name)
        if other != name:
            raise error(
                "OQ502",
                f"'{path}' is both {other} and {name}",
                fix="give another place for one of them",
            )
