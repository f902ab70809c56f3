"""A program of onnxq in a process of its own that may do anything: it is limited, and ends.

Messages are lines of JSON. What the program prints to standard error is kept as far as an error
shows it. The process and those that it starts are killed together; when this one is killed, it
ends by itself (see `_child`).
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, Literal

Loss = Literal["silent", "ended", "garbled"]
_LINE: Final = 1 << 16  # bytes of the longest message
_KEPT: Final = 4096  # bytes of what was printed last
_TICK_S: Final = 0.2
_COLOUR: Final = re.compile(r"\x1b\[[\d;]*[A-Za-z]")


class LostError(Exception):
    """The program gave no message in time, ended, or sent what is no message."""

    def __init__(self, how: Loss) -> None:
        super().__init__(how)
        self.how: Loss = how


class Process:
    """The program `module`, whose last argument is the file `trace` in the folder `folder`."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="onnxq-")
        self.folder = Path(self._temporary.name)
        self._trace = self.folder / "trace"
        self._process = subprocess.Popen(
            (sys.executable, "-P", "-m", module, *arguments, str(self._trace)),
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._lines: queue.Queue[bytes] = queue.Queue(maxsize=4)
        self._tail = bytearray()
        readers = (
            (_read_lines, (self._process.stdout, self._lines)),
            (_read_tail, (self._process.stderr, self._tail)),
        )
        self._threads = [threading.Thread(target=f, args=a, daemon=True) for f, a in readers]
        for thread in self._threads:
            thread.start()

    def send(self, **message: Any) -> None:
        """Send a message; `receive` reports a program that has ended."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def receive(self, limit_s: float) -> dict[str, Any]:
        """The next message, within `limit_s` seconds (LostError)."""
        try:
            message = json.loads(self._line(time.monotonic() + limit_s))
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise LostError("garbled")
        return message

    def _line(self, deadline: float) -> bytes:
        while True:
            with suppress(queue.Empty):
                if line := self._lines.get(timeout=_TICK_S):
                    return line
                raise LostError("ended")
            if self._process.poll() is not None:  # another process may hold its end of the pipe
                raise LostError("ended")
            if time.monotonic() >= deadline:
                raise LostError("silent")

    def end(self, *, linger: bool = False) -> int | None:
        """Kill it and those that it started. Its exit code; None when it had not ended.

        With `linger` it has a second to end by itself: its pipes close a moment before that.
        """
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1 if linger else 0)
        code: int | None = self._process.returncode
        if hasattr(os, "killpg"):
            with suppress(OSError):  # there is none
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join(timeout=1)  # a process that left the group may hold the pipe
        return code

    @property
    def printed(self) -> list[str]:
        """The lines that it printed last, without what colours them on a terminal."""
        text = _COLOUR.sub("", self._tail.decode("utf-8", errors="replace"))
        lines = ("".join(filter(str.isprintable, line)).strip() for line in text.splitlines())
        return [line for line in lines if line]

    @property
    def trace(self) -> str:
        """The stacks of its threads at a crash or at the limit; empty when there was none."""
        with suppress(OSError):
            return self._trace.read_text("utf-8", errors="replace")
        return ""

    def clear(self) -> None:
        """Remove its folder, after its end."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(OSError):
            self._temporary.cleanup()


# The threads do not hold the process: it ends when nothing else does.
def _read_lines(pipe: IO[bytes], lines: queue.Queue[bytes]) -> None:
    with pipe, suppress(OSError):
        while line := pipe.readline(_LINE):
            lines.put(line)
    lines.put(b"")


def _read_tail(pipe: IO[bytes], tail: bytearray) -> None:
    with pipe, suppress(OSError):
        while chunk := os.read(pipe.fileno(), _LINE):
            tail += chunk
            del tail[:-_KEPT]


def _environment() -> dict[str, str]:
    here = str(Path(__file__).parents[3])  # the folder of this onnxq, installed or not
    path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}
