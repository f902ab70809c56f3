"""Every onnxq command of the pages below runs, in the order of its page."""

import shlex
import shutil

import onnx
import pytest

from tests.cli.conftest import make_picture
from tests.cli.forked import onnxq
from tests.command import succeeded
from tests.docs.models import MODEL, named_as_exported
from tests.documents import blocks

PAGES = [
    "docs/index.md",
    "docs/start.md",
    "docs/faq.md",
    "docs/guide/accuracy.md",
    "docs/guide/ci.md",
    "docs/guide/data.md",
    "docs/guide/half-precision.md",
    "docs/guide/improve.md",
    "docs/guide/quantize.md",
    "docs/guide/recipe.md",
    "docs/guide/sensitivity.md",
    "docs/guide/tune.md",
    "docs/training.md",
]
MINE = """\
schema: 1
extends: trt-int8
rules:
  - {id: first, why: test, match: {op: Conv, position: first}, skip: all}
"""


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """A folder with the files that the pages name."""
    folder = tmp_path_factory.mktemp("documents")
    onnx.save(named_as_exported(MODEL), folder / "model.onnx")
    (folder / "mine.yaml").write_text(MINE)
    for name, numbers in (("imgs", range(12)), ("others", range(12, 22))):
        (folder / name).mkdir()
        for number in numbers:
            make_picture(folder / name / f"{number}.png", number)
    succeeded(onnxq("quantize", "model.onnx", "--data", "imgs/", cwd=folder))
    return folder


def commands(page):
    """The command lines that begin with onnxq in the shell blocks, without comments."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("onnxq "):
                yield line


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(page, calibrated, tmp_path):
    folder = tmp_path / "work"
    shutil.copytree(calibrated, folder)
    lines = list(commands(page))
    assert lines
    for line in lines:
        command, _, file = line.partition(" > ")
        outcome = onnxq(*shlex.split(command, comments=True)[1:], cwd=folder)
        assert outcome.returncode == 0, f"{line}\n{outcome.stdout}{outcome.stderr}"
        if file:
            (folder / file.split()[0]).write_text(outcome.stdout)
