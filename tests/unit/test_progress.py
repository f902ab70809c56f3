"""How long work shows that it goes on, in a log."""

import io
import re
import time

from rich.console import Console

from onnxq.cli import progress as progressing
from onnxq.progress import Progress


def shown(console, *events, quiet=False):
    """Show events one after the other on a console for notes and progress."""
    with progressing.shown(console, console, quiet=quiet) as show:
        for event in events:
            time.sleep(0.05)
            show(event)


def test_what_a_resumed_run_had_done_is_no_speed(monkeypatch):
    monkeypatch.setattr(progressing, "_LINE_EVERY", 0.0)
    log = io.StringIO()
    steps = [Progress(stage="calibrating", done=n, total=9010) for n in (9000, 9001, 9002)]
    shown(Console(file=log), *steps)
    first, second = log.getvalue().splitlines()
    assert first.startswith("calibrating: 9001 of 9010, ")
    assert float(re.search(r", ([\d.]+)/s, ", second)[1]) <= 20


def test_a_terminal_shows_each_stage():
    log = io.StringIO()
    screen = Console(file=log, force_terminal=True, width=80)
    steps = [Progress(stage="comparing", done=n, total=2) for n in range(3)]
    with progressing.shown(screen, screen, quiet=False) as show:
        for step in steps:
            show(step)
        assert "comparing" in log.getvalue()
        assert "compiling" not in log.getvalue()
        show(Progress(stage="compiling"))
        time.sleep(0.3)
    assert re.search(r"compiling .*0:0\d:\d\d", log.getvalue())


def test_a_log_has_no_line_for_work_without_steps():
    log = io.StringIO()
    steps = [Progress(stage="comparing", done=n, total=1) for n in range(2)]
    shown(Console(file=log), *steps, Progress(stage="compiling"))
    assert log.getvalue() == ""


def test_notes_are_printed_and_urgent_ones_even_when_quiet():
    log = io.StringIO()
    notes = [
        Progress(stage="calibrating", note="preprocess: yolo"),
        Progress(stage="calibrating", note="interrupted", urgent=True),
    ]
    shown(Console(file=log), *notes)
    assert log.getvalue() == "preprocess: yolo\ninterrupted\n"
    log.truncate(0)
    log.seek(0)
    shown(Console(file=log), *notes, quiet=True)
    assert log.getvalue() == "interrupted\n"
