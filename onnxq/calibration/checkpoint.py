"""What a calibration had gathered when it broke off, kept in a file."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import OnnxqError, error, first_line
from onnxq.files import whole_file

_VERSION: Final = 1
_RUN: Final = "run.json"
_LARGEST: Final = 1 << 24  # bytes of run.json; names of tensors are most of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How far a calibration is: statistics of each pass, of which the last may be incomplete.

    `last` is the number of the last sample that the last of them holds; -1 for none.
    """

    parts: tuple[Statistics, ...] = ()
    last: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A file for snapshots of one run, written `every` so many seconds.

    `run` identifies the model, the data and the options; `resume` permits to take up the snapshot
    that the file holds.
    """

    path: Path
    run: str
    resume: bool = False
    every: float = 30.0

    def begin(self, passes: Sequence[Sequence[str]]) -> Snapshot:
        """Return where the run stood, or nothing when there is no file.

        Raises OQ431 when the file is of another run, OQ433 when it is damaged or when there is
        one and it is not to be resumed.
        """
        if not self.path.exists():
            return Snapshot()
        if not self.resume:
            raise error(
                "OQ433",
                f"the checkpoint '{self.path}' exists already",
                fix="continue it with --resume, or remove it",
            )
        try:
            about, snapshot = _read(self.path)
        except Exception as reason:  # a damaged zip, JSON or array fails in dozens of ways
            raise error(
                "OQ433",
                f"the checkpoint '{self.path}' cannot be read: {first_line(reason)}",
                fix="remove it and begin anew",
            ) from None
        if about["run"] != self.run or about["passes"] != [list(names) for names in passes]:
            raise error(
                "OQ431",
                f"the checkpoint '{self.path}' is of another run: the model, the data or an "
                "option differs",
                fix="repeat the command as it was, or remove the checkpoint",
            )
        return snapshot

    def keep(self, snapshot: Snapshot, passes: Sequence[Sequence[str]]) -> None:
        """Write a snapshot in place of the one before (OQ501)."""
        about = {
            "version": _VERSION,
            "run": self.run,
            "passes": [list(names) for names in passes],
            "last": snapshot.last,
            "parts": len(snapshot.parts),
        }
        with (
            whole_file(self.path) as part,
            zipfile.ZipFile(part, "w") as archive,
            tempfile.TemporaryDirectory(prefix="onnxq-") as folder,
        ):
            archive.writestr(_RUN, json.dumps(about))
            for number, statistics in enumerate(snapshot.parts):
                file = Path(folder, _part(number))
                statistics.save(file)
                archive.write(file, file.name)

    def remove(self) -> None:
        """Delete the file, once the run is over and its result is written."""
        self.path.unlink(missing_ok=True)


def _part(number: int) -> str:
    return f"{number}.npz"


def _read(path: Path) -> tuple[dict[str, Any], Snapshot]:
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory(prefix="onnxq-") as folder:
        if archive.getinfo(_RUN).file_size > _LARGEST:
            raise ValueError("it is too large")
        about = json.loads(archive.read(_RUN))
        if about["version"] != _VERSION:
            raise ValueError(f"its format is version {about['version']}, not {_VERSION}")
        files = [archive.extract(_part(number), folder) for number in range(about["parts"])]
        try:
            parts = tuple(Statistics.load(file) for file in files)
        except OnnxqError as reason:
            raise ValueError(reason.diagnostics[0].message) from None
    return about, Snapshot(parts=parts, last=int(about["last"]))
