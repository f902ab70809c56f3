"""docs/guide/classifiers.md: its commands run, one after the other."""

import onnx

from tests.cli.conftest import make_picture
from tests.cli.forked import onnxq
from tests.command import succeeded
from tests.docs.test_commands import commands
from tests.onnx_text import model

PAGE = "docs/guide/classifiers.md"
CLASSIFIER = """
small (float[1,3,16,16] images) => (float[1,4] y) <float[4,3,16,16] w, int64[2] to = {1, 4}> {
    [conv] a = Conv (images, w)
    y = Reshape (a, to)
}
"""


def test_the_commands_run(tmp_path):
    onnx.save(model(CLASSIFIER), tmp_path / "model.onnx")
    for name in ("imgs", "others"):
        (tmp_path / name).mkdir()
        for number in range(3):
            make_picture(tmp_path / name / f"{number}.png", number)
    (tmp_path / "labels.csv").write_text("file,label\n0.png,0\n1.png,1\n2.png,2\n")
    lines = list(commands(PAGE))
    assert "--max-top1-drop 1" in lines[-1]
    for line in lines:
        succeeded(onnxq(*line.split()[1:], cwd=tmp_path))
