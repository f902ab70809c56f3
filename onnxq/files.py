"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from onnxq.diagnostics import OnnxqError, error


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary file beside `path` that takes its place only when the block succeeds."""
    path = Path(path)
    if path.exists() and not path.is_file():  # a device such as /dev/null would be replaced
        raise _unwritable(path, OSError("it is not a regular file"))
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as reason:
        raise _unwritable(path, reason) from None
    os.close(handle)
    part = Path(name)
    try:
        yield part
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o666 & ~umask)
        os.replace(part, path)
    except OSError as reason:
        raise _unwritable(path, reason) from None
    finally:
        part.unlink(missing_ok=True)


def _unwritable(path: Path, reason: OSError) -> OnnxqError:
    said = (reason.strerror or str(reason)).lower()
    return error(
        "OQ501", f"cannot write '{path}': {said}", fix="free some space or choose another -o"
    )
