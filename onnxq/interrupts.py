"""Ctrl-C must not interrupt a block in its middle."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


@contextmanager
def held() -> Iterator[None]:
    """Delay Ctrl-C to the end of the block, so that the block is executed whole."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python raises KeyboardInterrupt in the main thread only
        return
    signals: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: signals.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
    if signals:
        raise KeyboardInterrupt


@contextmanager
def exit_without_traceback() -> Iterator[None]:
    """Exit with code 130 on Ctrl-C, wherever it arrives in the block.

    An import may replace KeyboardInterrupt by another exception: Python 3.11 raises RuntimeError
    where the interrupt comes in `__set_name__`. A process that was started with SIGINT ignored,
    as the background jobs of a shell are, goes on ignoring it.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except (Exception, KeyboardInterrupt):
        if interrupted:
            sys.exit(130)
        raise
    finally:
        signal.signal(signal.SIGINT, before)
