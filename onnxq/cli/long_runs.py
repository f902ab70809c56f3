"""Options of long calibrations: shards, checkpoints, memory."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onnxq.cli import options, paths
from onnxq.diagnostics import counted, error
from onnxq.files import locked

if TYPE_CHECKING:
    from rich.console import Console

    from onnxq.calibration.checkpoint import Checkpoint
    from onnxq.feeds import DataRequest

Part = tuple[int, int]  # first sample, and the step to the next
WHOLE: Final[Part] = (0, 1)


def shard(text: str | None) -> Part:
    """Read --shard: '2/8' are samples 1, 9, 17 ... (OQ434)."""
    if text is None:
        return WHOLE
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    index, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= index <= count:
        raise error(
            "OQ434",
            f"--shard '{text}' cannot be read",
            fix="write it like --shard 2/8, from 1 to 8",
        )
    return index - 1, count


def suffix(part: Part) -> str:
    """What a shard's file is called, after the model."""
    return "" if part == WHOLE else f".{part[0] + 1}of{part[1]}"


def in_bytes(text: str | None) -> int | None:
    """Read --max-memory, such as 2GB or 500MiB (OQ434)."""
    from pydantic import ByteSize, TypeAdapter, ValidationError

    if text is None:
        return None
    try:
        size = TypeAdapter(ByteSize).validate_python(text)
    except ValidationError:
        size = ByteSize(0)
    if size <= 0:
        raise error("OQ434", f"--max-memory '{text}' is no size", fix="write it like 2GB or 500MiB")
    return int(size)


def require_alone(run: options.LongRun, part: Part = WHOLE) -> None:
    """Refuse options that exclude each other (OQ434)."""
    if run.resume and run.checkpoint is None:
        raise error("OQ434", "--resume needs --checkpoint", fix="name the file to go on from")
    if run.worker_count is None:
        if run.cluster is not None:
            raise error("OQ434", "--cluster needs --workers", fix="say how many workers to use")
        return
    if run.worker_count < 1:
        raise error("OQ434", f"--workers {run.worker_count} is none", fix="give 1 or more")
    others = {"--checkpoint": run.checkpoint is not None, "--shard": part != WHOLE}
    for option, given in others.items():
        if given:
            raise error(
                "OQ434", f"--workers and {option} exclude each other", fix="give one of them"
            )


@contextmanager
def checkpoint(
    asked: options.LongRun,
    read: Sequence[Path | None],
    output: Path,
    run: Mapping[str, str],
    request: DataRequest,
    err: Console,
) -> Iterator[Checkpoint | None]:
    """Yield the checkpoint of a run, if there is one; it goes when the block succeeds."""
    from onnxq.calibration.checkpoint import Checkpoint

    path, resume = asked.checkpoint, asked.resume
    if path is None:
        yield None
        return
    paths.output(path, read, option="--checkpoint")
    paths.require_different({"the output": output, "--checkpoint": path})
    kept = Checkpoint(path=path, run={**run, **_asked(request)}, resume=resume)
    with locked(path) as ours:
        if not ours:
            raise error(
                "OQ437",
                f"another run is using the checkpoint '{path}'",
                fix="wait for its end, or give another --checkpoint",
            )
        before = _written(path)
        if resume and not before:
            err.print(f"there is no checkpoint '{path}' yet: the run begins anew")
        try:
            yield kept
        except BaseException:
            if _written(path) != before:
                told = f"what was gathered is in '{path}', --resume goes on from there"
                err.print(f"broken off; {told}")
            raise
        kept.remove()


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def _asked(request: DataRequest) -> dict[str, str]:
    """What tells one run from another: what was asked, and the names and sizes of the data's files.

    How the path to them is written does not matter. Of a Python file it is the content.
    """
    from onnxq.feeds.places import locate

    place = locate(request.source)
    names, size = hashlib.sha256(), 0
    for file in place.files:
        names.update(f"{file.relative_to(place.path)} {file.stat().st_size};".encode())
        size += file.stat().st_size
        if place.kind == "python":
            names.update(file.read_bytes())
    files = f"{counted(len(place.files), 'file')} of {size:,} bytes ({names.hexdigest()[:8]})"
    named = ":".join(filter(None, (place.path.resolve().name, place.function)))
    options = ("samples", "seed", "batch", "ragged")
    return {
        "--data": f"{place.kind} '{named}'",
        "what --data has": files,
        "--shape": " ".join(f"{k}:{'x'.join(map(str, v))}" for k, v in request.shapes.items()),
        "--preprocess": request.preprocess.model_dump_json() if request.preprocess else "",
        **{f"--{name}": _shown(getattr(request, name)) for name in options},
    }


def _shown(value: Any) -> str:
    return "" if value is None or value is False else str(value)
