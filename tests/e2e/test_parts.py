"""However a calibration is cut up or broken off, it ends in the same file, to the byte."""

import shutil
import signal
import subprocess
import time

import pytest

from tests.cli.forked import onnxq
from tests.command import ONNXQ, succeeded

PICTURES = ("astronaut", "chelsea", "coffee", "coins", "rocket", "camera", "moon")
COMMAND = ("calibrate", "model.onnx", "--data", "imgs", "--preprocess", "imagenet")
LOADED = ("calibrate", "model.onnx", "--data", "loader.py")
LOADER = """
import os, signal, time
from pathlib import Path

import numpy

HERE = Path(__file__).parent

def load_data():
    runs = HERE / "runs"
    runs.write_text(runs.read_text() + "x")
    for seed in range(6):
        for action in HERE.glob(f"{seed}.*"):
            globals()[action.suffix[1:]](action)
        values = numpy.random.default_rng(seed).standard_normal((1, 3, 224, 224), numpy.float32)
        values[0, 0, 0, : seed % 3] = -numpy.inf
        yield values

def fails(action):
    if len((HERE / "runs").read_text()) >= int(action.read_text() or 0):
        raise OSError("disk gone")

def dies(action):
    action.unlink(missing_ok=True)
    os.kill(os.getpid(), signal.SIGKILL)

def waits(action):
    action.unlink()
    time.sleep(2)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, mobilenet, photographs):
    """A model, pictures one of which cannot be read, and the calibration in one go."""
    folder = tmp_path_factory.mktemp("parts")
    shutil.copyfile(mobilenet, folder / "model.onnx")
    (folder / "imgs").mkdir()
    for name in PICTURES:
        shutil.copy(photographs[name], folder / "imgs")
    (folder / "imgs" / "broken.png").write_bytes(b"\x89PNG no more")
    succeeded(onnxq(*COMMAND, "-o", "whole.npz", cwd=folder))
    return folder


def warnings(outcome):
    """The warnings alone: a slow run tells of its progress, too."""
    return [line for line in outcome.stderr.splitlines() if line.startswith("warning")]


def whole(folder):
    return (folder / "whole.npz").read_bytes()


@pytest.mark.parametrize("count", [2, 3])
def test_shards_merge_to_the_whole(folder, count):
    names = [f"shard{index}.npz" for index in range(1, count + 1)]
    for index, name in enumerate(names, 1):
        succeeded(onnxq(*COMMAND, "--shard", f"{index}/{count}", "-o", name, cwd=folder))
    succeeded(onnxq("calib", "merge", *reversed(names), "-o", "merged.npz", cwd=folder))
    assert (folder / "merged.npz").read_bytes() == whole(folder)


def test_more_shards_than_samples(folder):
    outcome = onnxq(*COMMAND, "--samples", "2", "--shard", "3/3", "-o", "none.npz", cwd=folder)
    assert "0 samples" in succeeded(outcome).stdout


@pytest.mark.long
def test_workers_make_the_whole(folder):
    alone = succeeded(onnxq(*COMMAND, "-o", "again.npz", cwd=folder))
    shared = succeeded(onnxq(*COMMAND, "--workers", "2", "-o", "shared.npz", cwd=folder))
    assert (folder / "shared.npz").read_bytes() == whole(folder)
    (told,) = warnings(shared)
    assert told.replace(f"{folder}/", "") == warnings(alone)[0]
    assert "broken.png' was left out" in told


@pytest.fixture
def loader(folder, tmp_path):
    """A folder with a model and a loader of six samples, and the calibration in one go.

    A file such as 4.fails makes it fail before sample 4.
    """
    shutil.copy(folder / "model.onnx", tmp_path)
    (tmp_path / "loader.py").write_text(LOADER)
    (tmp_path / "runs").touch()
    succeeded(onnxq(*LOADED, "-o", "whole.npz", cwd=tmp_path))
    (tmp_path / "runs").write_text("")
    return tmp_path


@pytest.mark.long
def test_what_a_lost_worker_had_is_run_again(loader):
    """The first worker that comes to sample 4 is killed there."""
    (loader / "4.dies").touch()
    shared = succeeded(onnxq(*LOADED, "--workers", "2", "-o", "again.npz", cwd=loader))
    assert not (loader / "4.dies").exists()
    (told,) = warnings(shared)  # of all parts together
    assert f"the input 'input' has 6 infinite values, first in '{loader}/loader.py[1]'" in told
    assert (loader / "again.npz").read_bytes() == whole(loader)


def test_what_a_worker_finds_wrong_is_told_as_by_one_run(loader):
    (loader / "4.fails").touch()
    alone = onnxq(*LOADED, cwd=loader)
    shared = onnxq(*LOADED, "--workers", "2", cwd=loader)
    assert alone.returncode == shared.returncode == 2
    told = "error[OQ422]: the loader raised OSError: disk gone; correct it"
    assert told in alone.stderr
    assert told in shared.stderr
    assert not list(loader.glob("*.calib.npz"))


def test_a_run_that_failed_is_resumed(loader):
    (loader / "4.fails").touch()
    command = (*LOADED, "--checkpoint", "run.ckpt", "-o", "resumed.npz")
    failed = onnxq(*command, cwd=loader)
    assert failed.returncode == 2
    assert "'run.ckpt' has the statistics so far, --resume continues" in failed.stderr
    (loader / "4.fails").unlink()
    succeeded(onnxq(*command, "--resume", cwd=loader))
    assert not (loader / "run.ckpt").exists()
    assert (loader / "resumed.npz").read_bytes() == whole(loader)


def test_a_run_that_was_stopped_is_resumed(loader):
    (loader / "4.waits").touch()
    command = (*LOADED, "--checkpoint", "run.ckpt", "-o", "resumed.npz")
    process = subprocess.Popen([ONNXQ, *command], cwd=loader, stderr=subprocess.PIPE, text=True)
    while (loader / "4.waits").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    told = process.communicate()[1]
    assert process.returncode == 130
    assert "Traceback" not in told
    assert (loader / "run.ckpt").exists()
    succeeded(onnxq(*command, "--resume", cwd=loader))
    assert (loader / "resumed.npz").read_bytes() == whole(loader)


def test_the_second_of_several_passes_is_resumed(loader):
    passes = (*LOADED, "--max-memory", "12MB")
    succeeded(onnxq(*passes, "-o", "once.npz", cwd=loader))
    begun = len((loader / "runs").read_text())
    assert begun > 2  # one to learn the sizes, and the passes
    (loader / "runs").write_text("")
    (loader / "4.fails").write_text("3")  # in the second pass
    command = (*passes, "--checkpoint", "run.ckpt", "-o", "resumed.npz")
    assert onnxq(*command, cwd=loader).returncode == 2
    (loader / "4.fails").unlink()
    (loader / "runs").write_text("")
    succeeded(onnxq(*command, "--resume", cwd=loader))
    assert len((loader / "runs").read_text()) == begun - 1  # the first pass was complete
    assert (loader / "resumed.npz").read_bytes() == (loader / "once.npz").read_bytes()
