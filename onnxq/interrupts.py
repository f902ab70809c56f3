"""Ctrl-C and the signals that end a process must not interrupt a block in its middle."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

# Ctrl-C, what schedulers and `timeout` send, and a terminal that closes (Windows has no SIGHUP).
_SIGNALS: Final = tuple(
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if (number := getattr(signal, name, None)) is not None
)


@contextmanager
def held() -> Iterator[None]:
    """Delay Ctrl-C, SIGTERM and SIGHUP to the end of the block, so that it is executed whole.

    Signals that are ignored, or end the process without a handler, are left as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python handles signals in the main thread only
        return
    late: list[tuple[int, FrameType | None]] = []
    handlers = {n: handler for n in _SIGNALS if callable(handler := signal.getsignal(n))}
    for number in handlers:
        signal.signal(number, lambda *received: late.append(received))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for number, frame in late[:1]:
        handlers[signal.Signals(number)](number, frame)


@contextmanager
def exit_without_traceback() -> Iterator[None]:
    """Exit with code 128 + signal, 130 on Ctrl-C, wherever the signal arrives in the block.

    All of them raise KeyboardInterrupt, so that a long run keeps its checkpoint. An import may
    replace that by another exception: Python 3.11 raises RuntimeError where the interrupt comes in
    `__set_name__`. A process that was started with a signal ignored, as by nohup, goes on
    ignoring it.
    """
    before = {n: signal.getsignal(n) for n in _SIGNALS}
    ours = [n for n, h in before.items() if h in (signal.default_int_handler, signal.SIG_DFL)]
    numbers: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        numbers.append(number)
        raise KeyboardInterrupt

    for number in ours:
        signal.signal(number, interrupt)
    try:
        yield
    except BaseException:
        if numbers:
            sys.exit(128 + numbers[0])
        raise
    finally:
        for number in ours:
            signal.signal(number, before[number])
