"""What is fuzzed: each target takes bytes as a file of one kind, and must accept or refuse it."""

import io
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import parser
from rich.console import Console

import onnxq
from onnxq import render
from onnxq.calibration.statistics import FILE as CALIBRATION
from onnxq.codes import CODES
from onnxq.cost import gpu
from onnxq.improvement.improvement import FILE as IMPROVEMENT
from onnxq.verification import labels

TEXT = """<ir_version: 10, opset_import: ["" : 17]>
m (float[1,3,8,8] x) => (float[1,4,4,4] y) <float[4,3,3,3] w, float[4,4,1,1] v> {
[conv] a = Conv <pads = [1,1,1,1]> (x, w) [act] b = Relu (a) [pool] c = MaxPool
<kernel_shape = [2,2], strides = [2,2]> (b) [skip] d = Conv (c, v) [add] y = Add (c, d) }"""
RULES = """schema: 1
descriptors:
  act: {method: percentile, percentile: 99.9}
  weight: {granularity: per_channel, method: max}
rules:
  - {id: convs, why: Convs., match: {op: Conv}, quantize: {inputs: act, weights: weight}}
  - {id: adds, why: Sums., match: {op: Add, name: add}, quantize: {inputs: act}, improve: [bias]}
"""


@dataclass(frozen=True)
class Target:
    """A kind of file: how bytes become one (`place`), and who reads it."""

    read: Callable[[Path], object]
    name: str
    place: Callable[[bytes, Path], object] = lambda content, path: path.write_bytes(content)
    longest: int = 4096


@cache
def model() -> onnxq.Model:
    """A small network with weights."""
    proto = parser.parse_model(TEXT)
    generator = np.random.default_rng(0)
    for name, shape in (("w", (4, 3, 3, 3)), ("v", (4, 4, 1, 1))):
        values = generator.normal(size=shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return onnxq.load(proto)


@cache
def statistics() -> onnxq.Statistics:
    """A calibration of the network."""
    samples = np.random.default_rng(1).normal(size=(2, 1, 3, 8, 8)).astype(np.float32)
    return onnxq.calibrate(model(), [{"x": sample} for sample in samples])


@cache
def improvement() -> onnxq.Improvement:
    """An improvement of the network."""
    samples = np.random.default_rng(1).normal(size=(8, 1, 3, 8, 8)).astype(np.float32)
    recipe = onnxq.Recipe.from_yaml(RULES)
    return onnxq.improve(model(), [{"x": s} for s in samples], recipe)


def meta_of_calibration(content: bytes, path: Path) -> None:
    """The bytes as the JSON of a calibration whose arrays and checksum are right."""
    statistics().save(path)
    arrays = dict(CALIBRATION.read(path))
    CALIBRATION.write(path, arrays | {"meta": np.frombuffer(content, np.uint8)})


def meta_of_improvement(content: bytes, path: Path) -> None:
    """The bytes as the JSON of an improvement whose numbers and checksum are right."""
    improvement().save(path)
    arrays = dict(IMPROVEMENT.read(path))
    IMPROVEMENT.write(path, arrays | {"meta": np.frombuffer(content, np.uint8)})


def run_of_checkpoint(content: bytes, path: Path) -> None:
    """The bytes as the JSON of a checkpoint whose calibration is right."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = b"onnxq checkpoint 2"
        archive.writestr("run.json", content)
        part = path.with_name("0.npz")
        statistics().save(part)
        archive.write(part, part.name)
        part.unlink()


def entry_of_archive(content: bytes, path: Path) -> None:
    """The bytes as an array in an archive."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", content)


def plan_of_model(path: Path) -> None:
    """Load a model and plan it."""
    onnxq.plan(onnxq.load(path))


def calibrate_with(path: Path) -> None:
    """Calibrate with the file as data, into a file that is left behind nowhere."""
    onnxq.calibrate(model(), path)


def resume(path: Path) -> None:
    """Calibrate on from a checkpoint."""
    data = path.with_name("data.npy")
    np.save(data, np.ones((1, 3, 8, 8), np.float32))
    onnxq.calibrate(model(), data, checkpoint=path, resume=True)


TARGETS = {
    "recipe": Target(lambda path: onnxq.plan(model(), path), "recipe.yaml"),
    "plan": Target(lambda path: onnxq.load_plan(path, model()), "model.plan"),
    "preprocess": Target(onnxq.load_preprocess, "preprocess.yaml"),
    "gpu": Target(gpu.load, "gpu.yaml"),
    "calibration": Target(onnxq.Statistics.load, "model.calib.npz", meta_of_calibration, 16384),
    "improvement": Target(onnxq.Improvement.load, "model.improved.npz", meta_of_improvement),
    "checkpoint": Target(resume, "run.ckpt", run_of_checkpoint),
    "cache": Target(lambda path: onnxq.import_cache(path, model()), "calib.cache"),
    "labels": Target(labels.load, "labels.csv"),
    "array": Target(calibrate_with, "data.npy"),
    "archive": Target(calibrate_with, "data.npz", entry_of_archive),
    "picture": Target(calibrate_with, "picture.png"),
    "inputs": Target(calibrate_with, "inputs.json"),
    "model": Target(plan_of_model, "model.onnx", longest=8192),
}


def attempt(target: Target, content: bytes, folder: Path) -> bool:
    """Let a target read bytes: True where it accepts them, False where it refuses them in words.

    Whatever else happens is a finding: another exception, a refusal without a code or a fix, a
    line that a terminal would not show, or a file that is left behind.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = folder / target.name
    target.place(content, path)
    try:
        target.read(path)
    except onnxq.OnnxqError as reason:
        refusal = reason
    else:
        return True
    finally:
        left = {p.name for p in folder.iterdir()} - {target.name, "data.npy"}
        assert not left, left
    for diagnostic in refusal.diagnostics:
        assert diagnostic.code in CODES, diagnostic
        assert diagnostic.message, diagnostic
        assert diagnostic.fix, diagnostic
    screen = Console(file=io.StringIO(), width=10_000)
    render.diagnostics(screen, refusal.diagnostics)
    shown = screen.file.getvalue()
    assert shown.replace("\n", "").isprintable(), repr(shown)
    return False
