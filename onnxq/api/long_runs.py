"""Long calibrations: shards, checkpoints, workers, memory."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ByteSize, TypeAdapter, ValidationError

from onnxq import sessions
from onnxq.calibration.calibrate import Settings
from onnxq.calibration.checkpoint import Checkpoint
from onnxq.descriptor import Calibrator
from onnxq.diagnostics import OnnxqError, counted, error, require_choice
from onnxq.feeds import DataRequest
from onnxq.feeds.places import locate
from onnxq.files import locked
from onnxq.progress import OnProgress, Progress
from onnxq.resumable import ResumableFile

_SHARD: Final = re.compile(r"(\d{1,9})/(\d{1,9})")


@dataclass(frozen=True, slots=True, kw_only=True)
class LongRun:
    """How a long calibration runs; `calibrate` explains each field."""

    shard: str | None = None
    checkpoint: str | Path | None = None
    resume: bool = False
    workers: int | None = None
    cluster: str | None = None
    provider: str | None = None
    max_memory: int | str | None = None

    def __post_init__(self) -> None:
        """Refuse options that exclude each other (OQ434)."""
        if self.resume and self.checkpoint is None:
            raise _refused("--resume needs --checkpoint", "name the file to go on from")
        if self.workers is None:
            if self.cluster is not None:
                raise _refused("--cluster needs --workers", "say how many workers to use")
            return
        if self.workers < 1:
            raise _refused(f"--workers {self.workers} is none", "give 1 or more")
        for option, value in (("--checkpoint", self.checkpoint), ("--shard", self.shard)):
            if value is not None:
                raise _refused(f"--workers and {option} exclude each other", "give one of them")

    @property
    def part(self) -> tuple[int, int]:
        """First sample of the shard, and the step to the next: '2/8' is samples 1, 9, 17 ..."""
        if self.shard is None:
            return 0, 1
        match = _SHARD.fullmatch(self.shard)
        index, count = map(int, match.groups()) if match else (0, 0)
        if not 1 <= index <= count:
            fix = "write it like --shard 2/8, from 1 to 8"
            raise _refused(f"--shard '{self.shard}' cannot be parsed", fix)
        return index - 1, count

    def settings(self, calibrator: Calibrator) -> Settings:
        """How the calibration runs (OQ217, OQ430, OQ434)."""
        require_choice("calibrator", calibrator, Calibrator)
        named = () if self.provider is None else (sessions.provider(self.provider),)
        return Settings(
            calibrator=calibrator,
            providers=(*named, sessions.CPU),
            max_memory=self._max_bytes(),
        )

    def _max_bytes(self) -> int | None:
        """`max_memory`, such as 2GB or 500MiB, in bytes."""
        if self.max_memory is None:
            return None
        try:
            size = TypeAdapter(ByteSize).validate_python(self.max_memory)
        except ValidationError:
            size = ByteSize(0)
        if size <= 0:
            message = f"--max-memory '{self.max_memory}' is not a size"
            raise _refused(message, "write it like 2GB or 500MiB")
        return int(size)


def _refused(message: str, fix: str) -> OnnxqError:
    return error("OQ434", message, fix=fix)


@contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Keep other runs from using a checkpoint (OQ437)."""
    with locked(path) as ours:
        if not ours:
            raise error(
                "OQ437",
                f"another run is using the checkpoint '{path}'",
                fix="wait until it ends, or give another --checkpoint",
            )
        yield


_File = TypeVar("_File", bound=ResumableFile)


@contextmanager
def resumable(file: _File, stage: str, progress: OnProgress) -> Iterator[_File]:
    """Keep the file of a run from others, and remove it once all is done (OQ433, OQ437)."""
    with locked_file(file.path):
        file.require_resumable()
        try:
            yield file
        except KeyboardInterrupt:
            if file.path.exists():  # not before something was kept
                note = f"interrupted; '{file.path}' has what is done so far, --resume continues"
                progress(Progress(stage=stage, note=note, urgent=True))
            raise
        file.remove()


@contextmanager
def kept(
    run: LongRun, identity: Mapping[str, str], request: DataRequest, progress: OnProgress
) -> Iterator[Checkpoint | None]:
    """Yield the checkpoint of a run, or None without one; it is removed when the block succeeds.

    `identity` is what tells this run from another, beside the data. Raises OQ431, OQ433 and OQ437.
    """
    if run.checkpoint is None:
        yield None
        return
    path = Path(run.checkpoint)
    checkpoint = Checkpoint(path=path, run={**identity, **_asked(request)}, resume=run.resume)
    with locked_file(path):
        before = _modified(path)
        if run.resume and not before:
            note = f"there is no checkpoint '{path}' yet: the run begins anew"
            progress(Progress(stage="calibrating", note=note, urgent=True))
        try:
            yield checkpoint
        except BaseException:
            if _modified(path) != before:
                note = f"interrupted; '{path}' has the statistics so far, --resume continues"
                progress(Progress(stage="calibrating", note=note, urgent=True))
            raise
        checkpoint.remove()


def _modified(path: Path) -> int:
    return path.stat().st_mtime_ns if os.path.exists(path) else 0


def _asked(request: DataRequest) -> dict[str, str]:
    """What tells the data of one run from another: the request, names and sizes of the files.

    How the path is written does not matter. Of a Python file the content counts.
    """
    place = locate(request.source)
    names, size = hashlib.sha256(), 0
    for file in place.files:
        names.update(f"{file.relative_to(place.path)} {file.stat().st_size};".encode())
        size += file.stat().st_size
        if place.kind == "python":
            names.update(file.read_bytes())
    files = f"{counted(len(place.files), 'file')} of {size:,} bytes ({names.hexdigest()[:8]})"
    source = ":".join(filter(None, (place.path.resolve().name, place.function)))
    options = ("samples", "seed", "batch", "ragged")
    return {
        "--data": f"{place.kind} '{source}'",
        "what --data has": files,
        "--shape": " ".join(f"{k}:{'x'.join(map(str, v))}" for k, v in request.shapes.items()),
        "--preprocess": request.preprocess.model_dump_json() if request.preprocess else "",
        **{f"--{name}": _text(getattr(request, name)) for name in options},
    }


def _text(value: Any) -> str:
    return "" if value is None or value is False else str(value)
