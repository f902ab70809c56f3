"""Labels of samples, from a CSV file of file names and classes."""

from __future__ import annotations

import ast
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import onnx

from onnxq import files
from onnxq.diagnostics import OnnxqError, error

_LABEL_COLUMNS: Final = ("class_index", "class_id", "index", "label", "target", "class", "category")
_FILE_COLUMNS: Final = ("file", "filename", "file_name", "image", "path", "name", "sample")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The rows of a label file: by file name, the paths (last part first) and their classes.

    `names_differ` is True when all file names are different.
    """

    file: str
    rows: Mapping[str, Sequence[tuple[tuple[str, ...], str]]]
    names_differ: bool

    def of(self, sample: str) -> str | None:
        """The class of a sample, as written in the file; None for a sample without a row.

        If all file names differ, folders are ignored. Otherwise the end of the sample's path must
        match the row's path, and the longest match wins.
        Raises OQ651 when rows with different classes match equally well.
        """
        parts = _parts(sample)
        if self.names_differ:
            parts = parts[:1]
        fits = [
            (min(len(path), len(parts)), label)
            for path, label in self.rows.get(parts[0] if parts else "", ())
            if all(a == b for a, b in zip(path, parts, strict=False))
        ]
        best = max((length for length, _ in fits), default=0)
        classes = sorted({label for length, label in fits if length == best})
        if len(classes) > 1:
            raise _unusable(
                self.file, f"it has several classes for '{sample}': {', '.join(classes)}"
            )
        return classes[0] if classes else None


def load(path: str | Path) -> Labels:
    """Read a CSV file with a row for each sample: file name and class, in any order of columns.

    A header is optional; without one the first column is the file and the second the class.
    Commas, semicolons and tabs separate. Raises OQ651 when it cannot be read.
    """
    try:
        text = files.text(Path(path))
    except OSError as reason:
        raise _unusable(path, (reason.strerror or "it cannot be read").lower()) from None
    except UnicodeDecodeError:
        raise _unusable(path, "it is not text in UTF-8") from None
    separator = max(",;\t", key=text.partition("\n")[0].count)
    try:
        rows = [row for row in csv.reader(text.splitlines(), delimiter=separator) if any(row)]
    except csv.Error as reason:
        raise _unusable(path, str(reason)) from None
    short = next((number for number, row in enumerate(rows, 1) if len(row) < 2), None)
    if short is not None or not rows:
        where = f"row {short} has one column" if short else "it is empty"
        raise _unusable(path, where)
    file_at, label_at = _columns([cell.strip().lower() for cell in rows[0]])
    by_name: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for number, row in enumerate(rows, 1):
        if len(row) <= max(file_at, label_at):
            raise _unusable(path, f"row {number} has too few columns")
        parts = _parts(row[file_at])
        by_name.setdefault(parts[0] if parts else "", []).append((parts, row[label_at].strip()))
    differ = all(len(same) == 1 for same in by_name.values())
    return Labels(file=str(path), rows=by_name, names_differ=differ)


def _columns(header: list[str]) -> tuple[int, int]:
    """Indices of the file and class columns; without a header the file comes first."""
    label = next((header.index(name) for name in _LABEL_COLUMNS if name in header), None)
    if label is None:
        return 0, 1
    files = [header.index(n) for n in _FILE_COLUMNS if n in header and header.index(n) != label]
    return (files[0] if files else int(label == 0)), label


def _parts(path: str) -> tuple[str, ...]:
    """Parts of a path from the last: 'a/b.jpg' gives ('b.jpg', 'a')."""
    return PurePosixPath(path.strip().replace("\\", "/")).parts[::-1]


def class_names(model: onnx.ModelProto) -> dict[str, int]:
    """Class indices by name, as exporters record them in the metadata key `names`; or empty."""
    recorded = next((p.value for p in model.metadata_props if p.key == "names"), "")
    try:
        names = ast.literal_eval(recorded) if recorded else {}
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {}
    if isinstance(names, list | tuple):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        return {}
    return {str(name): index for index, name in names.items() if isinstance(index, int)}


def class_index(label: str, classes: int, names: Mapping[str, int], file: str) -> int:
    """The index of a class given by index or name; OQ652 when there is no such class."""
    try:
        index = names[label] if label in names else int(label)
    except ValueError:
        raise error(
            "OQ652",
            f"'{file}' has a class '{label}', and the model does not say which index that is",
            fix="write indices, from 0, or record the names in the model's metadata key 'names'",
        ) from None
    if not 0 <= index < classes:
        raise error(
            "OQ652",
            f"'{file}' has a class {index}, and the model has {classes}",
            fix=f"write indices from 0 to {classes - 1}",
        )
    return index


def _unusable(path: str | Path, why: str) -> OnnxqError:
    return error(
        "OQ651",
        f"the labels '{path}' cannot be used: {why}",
        fix="give a CSV file with rows such as dog/1.jpg,207",
    )
