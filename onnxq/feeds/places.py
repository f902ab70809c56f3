"""Where data is: which files a path names, and of what kind they are."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from PIL import Image

from onnxq.diagnostics import Diagnostic, OnnxqError, counted, error, first_line, warning
from onnxq.feeds import arrays, loaders, pictures
from onnxq.feeds.in_memory import DataSource, Iterated
from onnxq.files import own_kind

DataKind = Literal["random", "python", "saved inputs", "arrays", "pictures", "in memory"]
RANDOM: Final = "random"  # asks for random data
_PYTHON: Final = re.compile(r"(?P<file>.+\.py)(?::(?P<function>\w+))?")
_CALIBRATION: Final = ".calib.npz"  # the usual ending of calibrations, which are no data


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where data is: files of one kind, the function in a Python file, or `data` in memory.

    `notes` report what else is there and is not used.
    """

    kind: DataKind
    path: Path = Path()
    files: tuple[Path, ...] = ()
    function: str = ""
    data: Any = None
    notes: tuple[Diagnostic, ...] = ()

    @property
    def described(self) -> str:
        """What the data is, for messages: "arrays in 'data.npz'"."""
        if self.kind in ("random", "in memory"):
            return self.kind
        if self.kind == "python":
            return f"the Python file '{self.path}'"
        return f"{self.kind} in '{self.path}'"


def path_of(source: str | os.PathLike[str]) -> Path:
    """The file or folder that a source names."""
    text = os.fspath(source)
    python = _PYTHON.fullmatch(text)
    return Path(python["file"] if python else text)


def absolute(source: DataSource | Iterated) -> str:
    """The same source, for a process that works in another folder (OQ434 for data in memory)."""
    source = _in_files(source)
    if source == RANDOM:
        return RANDOM
    python = _PYTHON.fullmatch(os.fspath(source))
    function = python["function"] if python else None
    return f"{path_of(source).absolute()}{f':{function}' if function else ''}"


def locate(source: DataSource | Iterated) -> Place:
    """Find out which files a source names, and of what kind they are.

    Errors: OQ401, OQ428 when `random` is a folder too, OQ434 for data in memory.
    """
    source = _in_files(source)
    if not source:  # as an unset variable of a shell; a path would take it for the working folder
        raise error(
            "OQ401", "the path of the data is empty", fix="name the data; . is the working folder"
        )
    path = path_of(source)
    if source == RANDOM:
        if os.path.exists(path):
            raise error(
                "OQ428",
                "'random' means random data, and there is a folder or file of that name",
                fix=f"write ./{RANDOM} for what is in it, or rename it",
            )
        return Place(kind="random")
    if os.path.isdir(path) and not path.name.endswith(".py"):
        return _folder(path)
    text = os.fspath(source)
    if not os.path.isfile(path):
        pattern = any(sign in text for sign in "*?[")
        fix = "give the folder: patterns are not read" if pattern else "give a file or a folder"
        raise error("OQ401", f"the data '{path}' {_why_none(path)}", fix=fix)
    if python := _PYTHON.fullmatch(text):
        function = python["function"] or loaders.FUNCTION
        return Place(kind="python", path=path, files=(path,), function=function)
    return Place(kind=_kind(path), path=path, files=(path,))


def _in_files(source: DataSource | Iterated) -> str | os.PathLike[str]:
    if isinstance(source, str | os.PathLike):
        return source
    raise error(
        "OQ434",
        "checkpoints and workers read the data from files, and this data is in memory",
        fix="save it as .npz files, or give a Python file that makes it: loader.py:FUNCTION",
    )


def _why_none(path: Path) -> str:
    if os.path.islink(path) and not os.path.exists(path):
        return "is a link that leads nowhere"
    return "is no regular file" if os.path.exists(path) else "does not exist"


def _kind(file: Path) -> DataKind:
    suffix = file.suffix.lower()
    if own := own_kind(file):
        message = f"'{file}' is a {own} that onnxq wrote, not data"
        raise error("OQ401", message, fix="give samples like those that the model will be used on")
    if suffix in arrays.SUFFIXES:
        return "arrays"
    if suffix == ".json":
        return "saved inputs"
    if suffix not in pictures.suffixes():
        try:
            Image.open(file).close()
        except Exception as reason:
            raise _no_data(file, reason) from reason
    return "pictures"


def _no_data(file: Path, reason: Exception) -> OnnxqError:
    if isinstance(reason, PermissionError):
        message = f"'{file}' cannot be read: {first_line(reason)}"
        return error("OQ401", message, fix="correct its permissions")
    return error(
        "OQ401",
        f"'{file}' is not of a kind that onnxq reads as data",
        fix="give pictures, .npy or .npz files, or a Python file that yields samples",
    )


def _folder(folder: Path) -> Place:
    """Pictures, arrays, or else saved inputs in a folder and its subfolders; none hidden."""
    content = _Folder(folder)
    array_files = content.with_suffixes(arrays.SUFFIXES)
    picture_files = content.with_suffixes(pictures.suffixes())
    if len(array_files) == 1 and len(picture_files) > 1:  # such as labels
        content.leave_out(array_files[0], "array among pictures")
        array_files = ()
    elif len(picture_files) == 1 and len(array_files) > 1:
        content.leave_out(picture_files[0], "picture among arrays")
        picture_files = ()
    if array_files and picture_files:
        raise error(
            "OQ401",
            f"'{folder}' holds both {counted(len(array_files), 'file')} of arrays "
            f"('{array_files[0].name}') and {counted(len(picture_files), 'picture')} "
            f"('{picture_files[0].name}')",
            fix="keep one kind in a folder",
        )
    notes = tuple(content.notes)
    if array_files:
        return Place(kind="arrays", path=folder, files=array_files, notes=notes)
    if picture_files:
        return Place(kind="pictures", path=folder, files=picture_files, notes=notes)
    if saved := content.with_suffixes({".json"}):  # beside others they would be annotations
        return Place(kind="saved inputs", path=folder, files=saved, notes=notes)
    raise error(
        "OQ401",
        f"the folder '{folder}' has {content.instead or 'no pictures, no .npy and no .npz files'}",
        fix="give a folder with samples like those that the model will be used on",
    )


@dataclass(slots=True)
class _Folder:
    """The files in a folder that could be data, in order, and notes on the others (OQ438)."""

    folder: Path
    files: list[Path] = field(default_factory=list)
    own: list[Path] = field(default_factory=list)
    notes: list[Diagnostic] = field(default_factory=list)

    def __post_init__(self) -> None:
        for path in sorted(self._below()):
            if path.name.endswith(_CALIBRATION) or not self._is_usable(path):
                continue
            if path.suffix.lower() in arrays.SUFFIXES and own_kind(path):
                self.own.append(path)
            else:
                self.files.append(path)
        if self.own:
            others = f" and {counted(len(self.own) - 1, 'other')}" if len(self.own) > 1 else ""
            message = f"not used as data: '{self.own[0]}'{others}, which onnxq wrote"
            self._note(message, "keep calibrations and checkpoints in another folder")

    @property
    def instead(self) -> str:
        """A note on the folder's content when there is no data in it."""
        if self.notes:
            return f"no data; {self.notes[0].message}"
        return ""

    def with_suffixes(self, suffixes: frozenset[str] | set[str]) -> tuple[Path, ...]:
        """The files with these endings."""
        return tuple(path for path in self.files if path.suffix.lower() in suffixes)

    def leave_out(self, path: Path, what: str) -> None:
        """Report a single file of another kind than the data (OQ438)."""
        self._note(f"'{path}' is not used as data: it is the only {what}", "move it elsewhere")

    def _below(self) -> Iterator[Path]:
        """Paths in the folder and its subfolders, also behind links; hidden ones are skipped."""
        visited: set[str] = set()
        for above, folders, files in os.walk(self.folder, onerror=self._closed, followlinks=True):
            real = os.path.realpath(above)
            if real in visited:  # a second link to it, or one that leads back
                folders.clear()
                continue
            visited.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (Path(above, name) for name in files if not name.startswith("."))

    def _is_usable(self, path: Path) -> bool:
        """Whether it is a file, or a link that leads nowhere, which its reader will report."""
        try:
            usable = stat.S_ISREG(path.stat().st_mode)
        except OSError:
            return True
        if not usable and path.suffix.lower() in arrays.SUFFIXES | pictures.suffixes():
            self._note(f"'{path}' is no regular file and is not used", "remove it")
        return usable

    def _closed(self, reason: OSError) -> None:
        message = f"the folder '{reason.filename}' cannot be read: {first_line(reason)}"
        if Path(reason.filename) == self.folder:
            raise error("OQ401", message, fix="correct its permissions")
        self._note(message, "correct its permissions, or remove it")

    def _note(self, message: str, fix: str) -> None:
        self.notes.append(warning("OQ438", message, fix=fix))
