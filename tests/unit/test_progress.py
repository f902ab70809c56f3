"""How long work shows that it goes on, in a log."""

import io
import re
import time

from rich.console import Console

from onnxq.cli import progress as progressing


def test_what_a_resumed_run_had_done_is_no_speed(monkeypatch):
    monkeypatch.setattr(progressing, "_LINE_EVERY", 0.0)
    log = io.StringIO()
    with progressing.progress(Console(file=log), "calibrating", 9010, quiet=False) as step:
        step(9000)
        for _ in range(2):
            time.sleep(0.05)
            step()
    first, second = log.getvalue().splitlines()
    assert first.startswith("calibrating: 9001 of 9010, ")
    assert float(re.search(r", ([\d.]+)/s, ", second)[1]) <= 20


def test_a_terminal_shows_what_comes_behind_the_last_step():
    log = io.StringIO()
    screen = Console(file=log, force_terminal=True, width=80)
    with progressing.progress(screen, "comparing", 2, quiet=False, then="compiling") as step:
        step()
        assert "compiling" not in log.getvalue()
        step()
        time.sleep(0.3)
    assert re.search(r"compiling .*0:0\d:\d\d", log.getvalue())


def test_a_log_has_no_line_for_work_without_steps():
    log = io.StringIO()
    with progressing.progress(
        Console(file=log), "comparing", 1, quiet=False, then="compiling"
    ) as step:
        step()
    assert log.getvalue() == ""
