"""The state of an unfinished calibration, kept in a file."""

from __future__ import annotations

import json
import os
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
from onnxq.feeds.feed import PassPosition
from onnxq.files import whole_file

_VERSION: Final = 2
_COMMENT: Final = b"onnxq checkpoint %d" % _VERSION  # ends the file
_FINDINGS: Final = TypeAdapter(Findings)
_RUN: Final = "run.json"
_LARGEST: Final = 1 << 24  # bytes of run.json; names of tensors are most of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state of a calibration: statistics of each pass, of which the last may be incomplete.

    `last` is the number of the last sample of the last pass, -1 for none, and `findings` are those
    on the data up to it.
    """

    parts: tuple[Statistics, ...] = ()
    last: int = -1
    findings: Findings = field(default_factory=Findings)

    @property
    def done(self) -> PassPosition | None:
        """Where the last pass stands; None at its beginning."""
        if self.last < 0:
            return None
        digests = self.parts[-1].sample_digests
        return PassPosition(last=self.last, findings=self.findings, digests=digests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A file for snapshots of one run, written each `every` seconds.

    `run` describes the model, the data and the options, each by its name; `resume` permits to
    continue from the snapshot in the file.
    """

    path: Path
    run: Mapping[str, str]
    resume: bool = False
    every: float = 30.0

    def begin(self, passes: Sequence[Sequence[str]]) -> Snapshot:
        """Return the snapshot in the file, an empty one without a file.

        Raises OQ431 when the file is of another run, OQ433 when it is damaged, or exists and must
        not be resumed.
        """
        if not os.path.exists(self.path):
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
                fix="remove it and begin again",
            ) from reason
        same = about["passes"] == [list(names) for names in passes]
        differs = _difference(about["run"], self.run) or (
            "" if same else "it observes other tensors"
        )
        if differs:
            raise error(
                "OQ431",
                f"the checkpoint '{self.path}' is of another run: {differs}",
                fix="repeat the command as it was, or remove the checkpoint",
            )
        return snapshot

    def keep(self, snapshot: Snapshot, passes: Sequence[Sequence[str]]) -> None:
        """Replace the snapshot in the file (OQ501)."""
        about = {
            "version": _VERSION,
            "run": dict(self.run),
            "passes": [list(names) for names in passes],
            "last": snapshot.last,
            "found": _FINDINGS.dump_python(snapshot.findings, mode="json"),
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
    """The first difference, such as '--samples was 10 and is 12'; '' when there is none."""
    for name in dict.fromkeys((*before, *now)):
        was, is_ = before.get(name, ""), now.get(name, "")
        if was != is_:
            return f"{name} was {was or 'not given'} and is {is_ or 'not given'}"
    return ""


def _read(path: Path) -> tuple[dict[str, Any], Snapshot]:
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory(prefix="onnxq-") as folder:
        if archive.getinfo(_RUN).file_size > _LARGEST:
            raise ValueError("it is too large")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("it is compressed, and could be larger than it looks")
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
    findings = _FINDINGS.validate_python(about["found"])
    return about, Snapshot(parts=parts, last=int(about["last"]), findings=findings)
