"""docs/guide/classifiers.md: its commands run, and its script reads top-1 from the JSON."""

import json
import subprocess
import sys

import onnx
import pytest

from tests.cli.conftest import make_picture
from tests.cli.forked import onnxq
from tests.command import succeeded
from tests.docs.test_commands import commands
from tests.documents import blocks
from tests.onnx_text import model

PAGE = "docs/guide/classifiers.md"
CLASSIFIER = """
small (float[1,3,16,16] images) => (float[1,4] y) <float[4,3,16,16] w, int64[2] to = {1, 4}> {
    [conv] a = Conv (images, w)
    y = Reshape (a, to)
}
"""


@pytest.fixture
def judged(tmp_path):
    onnx.save(model(CLASSIFIER), tmp_path / "model.onnx")
    for name in ("imgs", "others"):
        (tmp_path / name).mkdir()
        for number in range(3):
            make_picture(tmp_path / name / f"{number}.png", number)
    (tmp_path / "labels.csv").write_text("file,label\n0.png,0\n1.png,1\n2.png,2\n")
    for line in commands(PAGE):
        words, _, file = line.partition(" > ")
        outcome = succeeded(onnxq(*words.split()[1:], cwd=tmp_path))
        if file:
            (tmp_path / file).write_text(outcome.stdout)
    return tmp_path


def gate(folder):
    (script,) = blocks(PAGE, "python")
    return subprocess.run([sys.executable, "-c", script], cwd=folder, check=False).returncode


def test_the_script_fails_where_more_than_a_point_is_lost(judged):
    file = judged / "result.json"
    told = json.loads(file.read_text())
    (compared,) = told["models"]
    accuracy = compared["numeric"]["accuracy"]
    assert accuracy["labelled"] == 3
    for lost, code in ((0.005, 0), (0.02, 1), (-0.02, 0)):
        accuracy |= {"float_top1": 0.8, "top1": 0.8 - lost}
        file.write_text(json.dumps(told))
        assert gate(judged) == code
