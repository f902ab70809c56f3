"""stdout is for results: others print to stderr, and who reads it may go away."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TextIO


class ReaderGoneError(Exception):
    """Nobody reads stdout any more, as behind `| head`."""


def require_streams() -> None:
    """Put something in the place of streams that the caller closed (`>&-`)."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115, to the end of the run


@contextmanager
def reader_may_go() -> Iterator[None]:
    """Tell a closed pipe from a failure; Typer would make exit code 1 of it."""
    try:
        yield
    except BrokenPipeError:
        raise ReaderGoneError from None


@contextmanager
def kept_for_results() -> Iterator[TextIO]:
    """Yield what is stdout now; until the end, what others print there goes to stderr.

    Others are the file of --data and what it starts, and libraries, of Python or not.
    """
    usual = sys.stdout
    usual.flush()
    with (
        open(os.dup(1), "w", encoding=usual.encoding, errors="backslashreplace") as result,
        redirect_stdout(sys.stderr),
    ):
        os.dup2(2, 1)
        try:
            yield result
        finally:
            usual.flush()  # what was printed to it all the same, as through sys.__stdout__
            os.dup2(result.fileno(), 1)
