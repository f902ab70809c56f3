"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from onnxq.diagnostics import OnnxqError, error

try:
    import fcntl
except ImportError:  # Windows: what a killed run leaves behind stays
    fcntl = None  # type: ignore[assignment]


_OWN: Final = re.compile(rb"onnxq (calibration|checkpoint|improvement|unfinished improvement) \d")
LONGEST_NAME: Final = 240  # bytes; file systems take 255, of which `.NAME.*.part` needs some
_LONGEST_TEXT: Final = 2**26  # characters; a plan of 100,000 ops has a third
_TRAILER: Final = 128  # bytes in which a file of onnxq's says what it is


def own_kind(path: Path) -> str:
    """Return the kind of a zip archive that onnxq wrote, such as 'calibration', else ''."""
    try:
        with path.open("rb") as file:
            file.seek(-min(file.seek(0, 2), _TRAILER), 2)
            match = _OWN.search(file.read())
    except OSError:
        return ""  # whoever reads it will say so
    return match[1].decode() if match else ""


def text(path: Path, limit: int = _LONGEST_TEXT) -> str:
    """The text of a UTF-8 file with Unix line ends, of at most `limit` characters.

    Raises OSError where it cannot be read or is longer, and UnicodeDecodeError.
    """
    with path.open(encoding="utf-8-sig") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit:,} characters")
    return content


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary file beside `path` that takes its place only when the block succeeds.

    A run that is killed leaves `.NAME.*.part` behind; the next run that writes `path` removes it.
    """
    path = Path(path)
    # A device such as /dev/null would be replaced.
    if os.path.exists(path) and not os.path.isfile(path):
        raise _unwritable(path, OSError("it is not a regular file"))
    try:
        _remove_abandoned(path)
        handle, part = _new_part(path)
    except OSError as reason:
        raise _unwritable(path, reason) from None
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
        os.close(handle)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock on a path; yields False, and holds nothing, when another process has it.

    The lock is the operating system's, on a file `.NAME.lock` beside the path: it ends with the
    process, however that ends, and a file that a killed run leaves behind locks nobody out. OQ501
    when no such file can be made.
    """
    from filelock import FileLock, Timeout

    path = path.resolve()  # a link to a file has the file's lock
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    except OSError as reason:
        raise _unwritable(path, reason) from None
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):  # Windows removes no file that is open
            os.unlink(lock.lock_file)
        lock.release()


def _new_part(path: Path) -> tuple[int, Path]:
    """A new file, locked as long as this process lives and its handle is open."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not os.fstat(handle).st_nlink:  # taken for abandoned before it was locked
            os.close(handle)
            return _new_part(path)
    return handle, Path(name)


def _remove_abandoned(path: Path) -> None:
    """Remove the parts that nobody holds a lock on: those of runs that were killed."""
    if fcntl is None:
        return
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


def _unwritable(path: Path, reason: OSError) -> OnnxqError:
    said = (reason.strerror or str(reason)).lower()
    return error(
        "OQ501", f"cannot write '{path}': {said}", fix="free some space, or write to another file"
    )
