"""A folder as a user has it after `onnxq calibrate`, made once and copied for every test."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from tests import refusals
from tests.command import succeeded
from tests.onnx_text import model

from .forked import onnxq

MODEL = """
small (float[1,3,16,16] x) => (float[1,4,16,16] y) <float[4,3,3,3] w, float[4,4,3,3] v> {
    [first] a = Conv <pads = [1,1,1,1]> (x, w)
    [active] b = Relu (a)
    [second] y = Conv <pads = [1,1,1,1]> (b, v)
}
"""
RULES = """\
schema: 1
descriptors:
  act: {method: max}
  weight: {granularity: per_channel, calibrator: max}
rules:
  - id: convs
    why: test
    match: {op: Conv}
    quantize: {inputs: act, weights: weight}
"""


@dataclass(frozen=True)
class Workplace:
    """A working folder with model.onnx, imgs/, rules.yaml, and what the commands write."""

    folder: Path

    def __truediv__(self, name):
        return self.folder / name

    def run(self, *arguments, **options):
        """Run onnxq here."""
        return onnxq(*arguments, cwd=self.folder, **options)

    def files(self):
        """Every file, hidden ones too, with its content; other things by name alone."""
        found = sorted(self.folder.rglob("*"))
        return {p: p.read_bytes() if p.is_file() else b"" for p in found}

    def refuses(self, code, *arguments, exit_code=2, lines=1, **options):
        """Run a command that must fail with one error and leave the folder as it was."""
        before = self.files()
        outcome = self.run(*arguments, **options)
        assert outcome.returncode == exit_code, outcome.stdout + outcome.stderr
        told = outcome.stderr.splitlines()
        assert len(told) == lines, outcome.stderr
        assert f"error[{code}]: " in told[0]
        problem, _, fix = told[0].rpartition("; ")
        assert problem, told[0]
        assert fix, told[0]
        assert self.files() == before
        refusals.note(("onnxq", *arguments), told[0], self.folder)
        return outcome.stderr


def make_picture(path, seed=0, size=(20, 24)):
    """A small colour picture of noise."""
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    onnx.save(model(MODEL), folder / "model.onnx")
    (folder / "rules.yaml").write_text(RULES)
    (folder / "imgs").mkdir()
    for index in range(3):
        make_picture(folder / "imgs" / f"{index}.png", index)
    succeeded(onnxq("calibrate", "model.onnx", "--data", "imgs", cwd=folder))
    succeeded(onnxq("insert", "--rules", "rules.yaml", cwd=folder))
    return folder


@pytest.fixture
def here(tmp_path, prepared):
    """A fresh copy of the prepared folder; model.qdq.onnx is not there yet."""
    folder = tmp_path / "work"
    shutil.copytree(prepared, folder)
    (folder / "model.qdq.onnx").unlink()
    return Workplace(folder)


@pytest.fixture
def finished(tmp_path, prepared):
    """A fresh copy of the prepared folder with model.qdq.onnx."""
    folder = tmp_path / "work"
    shutil.copytree(prepared, folder)
    return Workplace(folder)
