"""Runs the engine builder in a process of its own, because it may crash, and reports its failures.

The program that runs an engine on a GPU is started in the same way. The process never outlives this
one: it is killed with its group at the end of the block, and it ends by itself when this process is
killed (see `_worker`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from onnxq.diagnostics import OnnxqError, error

_RTX: Final = "TensorRT-RTX"
# Without a GPU driver the builder logs errors about that beside the real ones.
_NOISE: Final = re.compile(
    r"cuda ?error|cuda initialization|cudart|nvinfer.*driver|^\[[W!I]\]|^Traceback", re.IGNORECASE
)
_NO_MEMORY: Final = re.compile(
    r"bad_alloc|out ?of ?memory|MemoryError|cannot allocate memory", re.IGNORECASE
)


def build(job: Mapping[str, Any], timeout: float, *, rtx: bool = True) -> dict[str, Any]:
    """Do a job of `_build` and return its result, within `timeout` seconds.

    Raises OQ602 when the compiler rejects the model, OQ660 when it crashes, OQ661 when it takes
    too long and OQ662 when it runs out of memory.
    """
    return _done("onnxq.compiler.build", job, timeout, _compiler(rtx))


def run(job: Mapping[str, Any], timeout: float, *, rtx: bool = True) -> dict[str, Any]:
    """Do a job of `_run`, which needs a GPU; raises as `build`, and OQ666 when the run fails."""
    return _done("onnxq.compiler.run", job, timeout, _compiler(rtx))


def _done(program: str, job: Mapping[str, Any], timeout: float, compiler: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="onnxq-") as folder:
        job_path, result_path, log_path = (
            Path(folder) / n for n in ("job.json", "result.json", "log.txt")
        )
        job_path.write_text(json.dumps(job), encoding="utf-8")
        command = (sys.executable, "-P", "-m", program, str(job_path), str(result_path))
        try:
            with log_path.open("wb") as log:
                code = _run(command, _environment(rtx=compiler == _RTX), log, timeout)
        except subprocess.TimeoutExpired:
            raise error(
                "OQ661",
                f"{compiler} did not finish in {timeout:g} s",
                fix="give it more time with --timeout",
            ) from None
        if code or not result_path.exists():
            log_lines = _lines(log_path)
            if program == "onnxq.compiler.run" and code >= 0:
                raise _not_run(log_lines, compiler)
            raise _failed(code, [line for line in log_lines if not _NOISE.search(line)], compiler)
        result: dict[str, Any] = json.loads(result_path.read_text(encoding="utf-8"))
        return result


def _compiler(rtx: bool) -> str:
    return _RTX if rtx else "TensorRT"


def _run(
    command: tuple[str, ...], environment: Mapping[str, str], log: IO[bytes], timeout: float
) -> int:
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,  # closed when this process ends, which ends the builder
        stdout=log,
        stderr=log,
        start_new_session=True,
    ) as process:
        try:
            return process.wait(timeout)
        finally:
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):  # it ended just now
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _environment(*, rtx: bool) -> dict[str, str]:
    here = str(Path(__file__).parents[2])  # the folder of this onnxq, installed or not
    path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "POLYGRAPHY_USE_TENSORRT_RTX": "1" if rtx else "0", "PYTHONPATH": path}


def _lines(path: Path) -> list[str]:
    lines = (x.strip() for x in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return [line.removeprefix("[E] ") for line in lines if line]


def _not_run(log: list[str], compiler: str) -> OnnxqError:
    """OQ666 with the log; messages of the GPU's driver matter here, unlike in a build."""
    return error(
        "OQ666",
        f"{compiler} built the engine but could not run it on the GPU{_said(log)}",
        fix="check that the driver supports this version, and that the GPU has free memory",
    )


def _failed(code: int, log: list[str], compiler: str) -> OnnxqError:
    if code == -signal.SIGKILL or any(_NO_MEMORY.search(line) for line in log):
        return error(
            "OQ662",
            f"{compiler} ran out of memory{' (the system killed it)' if code < 0 else ''}",
            fix="build on a machine with more memory, or with smaller shapes",
        )
    if code < 0:
        return error(
            "OQ660",
            f"{compiler} crashed ({_signal(-code)}){_said(log)}",
            fix="correct what lint reports for the model",
        )
    return error(
        "OQ602",
        f"{compiler} rejected the model{_said(log)}",
        fix="correct what lint reports for the model, or leave the ops in the message in float",
    )


def _signal(number: int) -> str:
    numbers = {s.value for s in signal.Signals}
    return signal.Signals(number).name if number in numbers else f"signal {number}"


def _said(log: list[str]) -> str:
    """The most informative line of a log: the parser's about a node, the builder's, or the last."""
    for pattern in (r"In node ", r"Assertion failed|Error Code", ""):
        for line in reversed(log):
            if re.search(pattern, line):
                return f": {line[max(line.find('In node '), 0) :].strip()[:600]}"
    return ""
