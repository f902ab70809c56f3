"""What a calibration had gathered when it broke off, kept in a file."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import OnnxqError, error, first_line
from onnxq.feeds.checks import Findings
from onnxq.feeds.feed import Done
from onnxq.files import whole_file

_VERSION: Final = 2
_COMMENT: Final = b"onnxq checkpoint %d" % _VERSION  # ends the file
_FOUND: Final = TypeAdapter(Findings)
_RUN: Final = "run.json"
_LARGEST: Final = 1 << 24  # bytes of run.json; names of tensors are most of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How far a calibration is: statistics of each pass, of which the last may be incomplete.

    `last` is the number of the last sample that the last of them holds, -1 for none, and `found`
    what the data had told until then.
    """

    parts: tuple[Statistics, ...] = ()
    last: int = -1
    found: Findings = field(default_factory=Findings)

    @property
    def done(self) -> Done | None:
        """Where the last pass stands; None at its beginning."""
        if self.last < 0:
            return None
        return Done(last=self.last, found=self.found, digests=self.parts[-1].sample_digests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A file for snapshots of one run, written `every` so many seconds.

    `run` has the model, the data and the options as text, by what they are called; `resume` permits
    to take up the snapshot that the file holds.
    """

    path: Path
    run: Mapping[str, str]
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
        same = about["passes"] == [list(names) for names in passes]
        differs = _difference(about["run"], self.run) or (
            "" if same else "it looks at other tensors"
        )
        if differs:
            raise error(
                "OQ431",
                f"the checkpoint '{self.path}' is of another run: {differs}",
                fix="repeat the command as it was, or remove the checkpoint",
            )
        return snapshot

    def keep(self, snapshot: Snapshot, passes: Sequence[Sequence[str]]) -> None:
        """Write a snapshot in place of the one before (OQ501)."""
        about = {
            "version": _VERSION,
            "run": dict(self.run),
            "passes": [list(names) for names in passes],
            "last": snapshot.last,
            "found": _FOUND.dump_python(snapshot.found, mode="json"),
            "parts": len(snapshot.parts),
        }
        with (
            whole_file(self.path) as part,
            zipfile.ZipFile(part, "w") as archive,
            tempfile.TemporaryDirectory(prefix="onnxq-") as folder,
        ):
            archive.comment = _COMMENT
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


def _difference(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What differs first: '--samples was 10 and is 12'; '' when nothing does."""
    for name in dict.fromkeys((*before, *now)):
        was, is_ = before.get(name, ""), now.get(name, "")
        if was != is_:
            return f"{name} was {was or 'not given'} and is {is_ or 'not given'}"
    return ""


def _read(path: Path) -> tuple[dict[str, Any], Snapshot]:
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory(prefix="onnxq-") as folder:
        if archive.getinfo(_RUN).file_size > _LARGEST:
            raise ValueError("it is too large")
        about = json.loads(archive.read(_RUN))
        if about["version"] != _VERSION:
            raise ValueError(f"its format is version {about['version']}, not {_VERSION}")
        if archive.comment != _COMMENT:
            raise ValueError("it is cut off")
        files = [archive.extract(_part(number), folder) for number in range(about["parts"])]
        try:
            parts = tuple(Statistics.load(file) for file in files)
        except OnnxqError as reason:
            raise ValueError(reason.diagnostics[0].message) from None
    found = _FOUND.validate_python(about["found"])
    return about, Snapshot(parts=parts, last=int(about["last"]), found=found)
