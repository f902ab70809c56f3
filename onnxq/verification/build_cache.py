"""Results of builds in the user's cache folder, because one model is often verified many times."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import platformdirs

from onnxq.diagnostics import OnnxqError
from onnxq.files import whole_file

LIMIT: Final = 100_000_000  # bytes; a large model takes some 100 kB
_FORMAT: Final = 1  # of the entries; another number is another key


def folder() -> Path:
    """The folder of the entries."""
    return platformdirs.user_cache_path("onnxq") / "builds"


def key(**parts: Any) -> str:
    """The name of an entry: a digest of the options of a build, which must be JSON values."""
    text = json.dumps({"format": _FORMAT, **parts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def load(name: str) -> dict[str, Any] | None:
    """An entry; None when it does not exist or cannot be read."""
    path = _path(name)
    try:
        entry = json.loads(gzip.decompress(path.read_bytes()))
        path.touch()  # the least recently used entries are deleted first
    except (OSError, EOFError, ValueError, zlib.error):
        return None
    return entry if isinstance(entry, dict) and entry.get("key") == name else None


def save(name: str, result: Mapping[str, Any]) -> None:
    """Save an entry and delete old ones above LIMIT bytes; an unwritable folder is ignored."""
    entry = gzip.compress(json.dumps({**result, "key": name}).encode(), compresslevel=6)
    with contextlib.suppress(OSError, OnnxqError):  # a cache only saves time
        folder().mkdir(parents=True, exist_ok=True)
        with whole_file(_path(name)) as part:
            part.write_bytes(entry)
        _shrink()


def _path(name: str) -> Path:
    return folder() / f"{name}.json.gz"


def _shrink() -> None:
    """Delete the least recently used entries, until the rest is below the limit."""
    entries = [(path, path.stat()) for path in folder().glob("*.json.gz")]
    total = 0
    for path, stat in sorted(entries, key=lambda entry: entry[1].st_mtime, reverse=True):
        total += stat.st_size
        if total > LIMIT:
            path.unlink(missing_ok=True)
