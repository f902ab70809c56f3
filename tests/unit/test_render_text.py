"""Tables and figures as text, on a terminal and in a log."""

import io

import numpy as np
import onnx
import pytest
from rich.console import Console

from onnxq import verify
from onnxq.render.reports import verify_report
from onnxq.render.tables import table
from onnxq.render.text import share
from tests.onnx_text import model

LONG = "save_infer_model/scale_0.tmp_1"


def console(width, *, terminal):
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)


def lines(screen):
    return [line.strip() for line in screen.file.getvalue().splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.0%"),
        (1e-9, "<0.1%"),
        (0.001, "0.1%"),
        (0.5, "50.0%"),
        (0.9994, "99.9%"),
        (0.99999, ">99.9%"),
        (1, "100.0%"),
    ],
)
def test_nothing_and_all_are_told_from_nearly(value, text):
    assert share(value) == text


def test_a_row_is_one_line_in_a_log():
    log, terminal = console(30, terminal=False), console(30, terminal=True)
    for screen in (log, terminal):
        row = (LONG, "12.34", "motorcycle_right.png")
        table(screen, ("output", "SQNR dB", "in sample"), [row])
    assert lines(log)[-1].split() == [LONG, "12.34", "motorcycle_right.png"]
    assert len(lines(log)) == 3
    assert len(lines(terminal)) > 3
    assert max(map(len, lines(terminal))) <= 30
    assert log.width == 30


def test_figures_stay_whole_on_a_narrow_terminal(tmp_path):
    made = model(f'agraph (float[2] x) => (float[2] "{LONG}") {{ [r] "{LONG}" = Relu (x) }}')
    onnx.save(made, tmp_path / "a.onnx")
    np.save(tmp_path / "x.npy", np.ones(2, np.float32))
    report = verify(
        tmp_path / "a.onnx", tmp_path / "a.onnx", data=tmp_path / "x.npy", backend="onnxruntime"
    )
    wide, narrow = console(120, terminal=True), console(80, terminal=True)
    for screen in (wide, narrow):
        verify_report(screen, report)
    assert "mean error" in wide.file.getvalue()
    assert "mean error" not in narrow.file.getvalue()
    assert any(LONG in line for line in lines(narrow))
