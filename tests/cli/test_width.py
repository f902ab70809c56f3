"""Screens in a terminal of 80 columns without colours; a plan has one line a decision instead."""

import os
import re

import pytest
from rich.console import Console
from rich.text import Text

from onnxq.render.text import in_width

QUICK = ("--backend", "onnxruntime")
PAIR = ("model.onnx", "model.qdq.onnx", "--data", "imgs", *QUICK)
SCREENS = {
    "calibrate": ("calibrate", "model.onnx", "--data", "imgs"),
    "calib show": ("calib", "show", "model.calib.npz"),
    "insert": ("insert", "--rules", "trt-int8"),
    "quantize": ("quantize", "model.onnx", "--data", "imgs", *QUICK),
    "explain a rule": ("explain", "model.onnx", "weighted-ops"),
    "explain a node": ("explain", "model.onnx", "first"),
    "explain a code": ("explain", "OQ457"),
    "lint": ("lint", "model.qdq.onnx"),
    "verify": ("verify", *PAIR, "--tensors"),
    "refused by verify": ("verify", *PAIR, "--min-sqnr", "200", "--min-cosine", "1"),
    "sensitivity": ("sensitivity", "model.onnx", "--data", "imgs"),
    "not there": ("insert", "--rules", "nobody"),
    "no such key": ("insert", "--rules", "wrong.yaml"),
    "rules list": ("rules", "list"),
}
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def in_terminal():
    os.environ |= {"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": "80"}


@pytest.mark.parametrize("screen", SCREENS)
def test_no_line_is_wider(finished, screen):
    (finished / "wrong.yaml").write_text("schema: 1\nrulse: []\n")
    outcome = finished.run(*SCREENS[screen], prepare=in_terminal)
    lines = [ESCAPE.sub("", line) for line in (outcome.stdout + outcome.stderr).splitlines()]
    assert any(lines)
    # What follows "next: " is copied whole.
    wide = [line for line in lines if len(line) > 80 and not line.startswith("next: ")]
    assert not wide


def test_the_ending_is_three_lines(finished):
    told = finished.run(*SCREENS["quantize"]).stdout.splitlines()[-3:]
    assert [line.partition(": ")[0] for line in told] == ["wrote", "verdict", "next"]
    assert "model.qdq.onnx (<0.1 MB), model.calib.npz" in told[0]
    assert told[2] == "next: onnxq verify model.onnx model.qdq.onnx --data OTHERS"


def wrapped(text, width):
    return [line.plain for line in in_width(Text(text), Console(width=width))]


def test_lines_break_between_words_and_keep_their_indent():
    assert wrapped("  one two three four", 10) == ["  one two", "    three", "    four"]
    assert wrapped("seven a/path/that/is/long end", 10) == [
        "seven",
        "  a/path/that/is/long",
        "  end",
    ]
    assert wrapped("one two\n\n  three", 10) == ["one two", "", "  three"]
