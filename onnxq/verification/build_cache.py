"""What builds told, kept in the user's cache folder, as the same model is verified many times."""

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
    """Where entries lie."""
    return platformdirs.user_cache_path("onnxq") / "builds"


def key(**parts: Any) -> str:
    """The name of the entry for all that a build depends on, as JSON takes it."""
    text = json.dumps({"format": _FORMAT, **parts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def load(name: str) -> dict[str, Any] | None:
    """An entry; None when there is none, or none that can be read."""
    path = _path(name)
    try:
        entry = json.loads(gzip.decompress(path.read_bytes()))
        path.touch()  # the least recently used ones go first
    except (OSError, EOFError, ValueError, zlib.error):
        return None
    return entry if isinstance(entry, dict) and entry.get("key") == name else None


def save(name: str, result: Mapping[str, Any]) -> None:
    """Keep an entry, and no more than LIMIT bytes; a folder that cannot be written keeps none."""
    entry = gzip.compress(json.dumps({**result, "key": name}).encode(), compresslevel=6)
    with contextlib.suppress(OSError, OnnxqError):  # it would only have saved time
        folder().mkdir(parents=True, exist_ok=True)
        with whole_file(_path(name)) as part:
            part.write_bytes(entry)
        _shrink()


def _path(name: str) -> Path:
    return folder() / f"{name}.json.gz"


def _shrink() -> None:
    """Delete the entries used longest ago that are over the limit."""
    entries = [(path, path.stat()) for path in folder().glob("*.json.gz")]
    total = 0
    for path, stat in sorted(entries, key=lambda entry: entry[1].st_mtime, reverse=True):
        total += stat.st_size
        if total > LIMIT:
            path.unlink(missing_ok=True)
