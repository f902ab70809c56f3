"""Checkpoints and shards as a user meets them."""

import ctypes
import subprocess
import time
from contextlib import contextmanager

import numpy as np
import pytest

from tests.command import ONNXQ, succeeded

CALIBRATE = ("calibrate", "model.onnx", "--data")
KEPT = ("--checkpoint", "run.ckpt", "-o", "out.npz")


@pytest.fixture
def broken_off(here):
    """A folder with samples, and a run over them that NaN in the second broke off."""
    (here / "samples").mkdir()
    save(here, 0, 0.0)
    save(here, 1, np.nan)
    assert here.run(*CALIBRATE, "samples", *KEPT).returncode == 2
    save(here, 1, 1.0)
    return here


def save(here, index, value):
    np.save(here / "samples" / f"{index}.npy", np.full((1, 3, 16, 16), value, np.float32))


@pytest.mark.parametrize("spelled", ["samples", "./samples/", "{}/samples"])
def test_the_path_of_the_data_may_be_written_in_another_way(broken_off, spelled):
    (broken_off / "samples" / "run.log").write_text("no data")
    source = spelled.format(broken_off.folder)
    told = succeeded(broken_off.run(*CALIBRATE, source, *KEPT, "--resume"))
    assert "2 samples" in told.stdout


def test_other_data(broken_off):
    save(broken_off, 2, 2.0)
    told = broken_off.refuses("OQ431", *CALIBRATE, "samples", *KEPT, "--resume")
    assert "what --data has was 2 files of 6,400 bytes" in told
    assert "and is 3 files of 9,600 bytes" in told


@pytest.mark.parametrize(
    ("more", "differs"),
    [
        (("--samples", "2", "--seed", "3"), "--samples was not given and is 2"),
        (("--shard", "1/2"), "--shard was not given and is 1/2"),
        (("--calibrator", "max"), "--calibrator was histogram and is max"),
        (("--rules", "first.yaml"), "it observes other tensors"),
    ],
)
def test_what_differs_is_said(broken_off, more, differs):
    text = (broken_off / "rules.yaml").read_text().replace("op: Conv", "name: first")
    (broken_off / "first.yaml").write_text(text)
    told = broken_off.refuses("OQ431", *CALIBRATE, "samples", *KEPT, "--resume", *more)
    assert f"'run.ckpt' is of another run: {differs};" in told


def test_a_file_that_changed_and_kept_its_size(broken_off):
    save(broken_off, 0, 5.0)
    told = broken_off.refuses("OQ431", *CALIBRATE, "samples", *KEPT, "--resume")
    assert "'samples/0.npy' has changed since the checkpoint was written" in told
    save(broken_off, 0, 0.0)
    succeeded(broken_off.run(*CALIBRATE, "samples", *KEPT, "--resume"))


@pytest.mark.parametrize("more", [(), ("--max-memory", "1KB")])
def test_a_resumed_run_tells_what_the_earlier_part_did(here, more):
    """Infinite values before and after the break."""
    (here / "samples").mkdir()
    for index, value in enumerate([np.inf, 1.0, np.nan, -np.inf]):
        save(here, index, value)
    assert here.run(*CALIBRATE, "samples", *KEPT, *more).returncode == 2
    save(here, 2, 1.0)
    resumed = succeeded(here.run(*CALIBRATE, "samples", *KEPT, *more, "--resume"))
    whole = succeeded(here.run(*CALIBRATE, "samples", "-o", "whole.npz", *more))
    assert resumed.stderr == whole.stderr
    assert "the input 'x' has 1,536 infinite values, first in 'samples/0.npy'" in whole.stderr
    assert (here / "out.npz").read_bytes() == (here / "whole.npz").read_bytes()


def test_another_loader_of_the_same_size(here):
    text = "import numpy as np\ndef load_data():\n    yield np.full((1, 3, 16, 16), {})\n    {}\n"
    (here / "loader.py").write_text(text.format(1, "1 / 0"))
    assert here.run(*CALIBRATE, "loader.py", *KEPT).returncode == 2
    (here / "loader.py").write_text(text.format(2, "1 / 1"))
    here.refuses("OQ431", *CALIBRATE, "loader.py", *KEPT, "--resume")


@pytest.mark.parametrize("output", [("-o", "run.ckpt"), ("-o", "./imgs/../run.ckpt")])
def test_a_checkpoint_in_the_place_of_the_output(here, output):
    told = here.refuses("OQ502", *CALIBRATE, "imgs", "--checkpoint", "run.ckpt", *output)
    assert "is both the calibration and the checkpoint" in told


@pytest.mark.parametrize("option", ["-o", "--checkpoint"])
def test_a_folder_that_cannot_be_written_to(here, option):
    (here / "read-only").mkdir(0o555)
    told = here.refuses(
        "OQ501", *CALIBRATE, "imgs", option, "read-only/file", prepare=without_privileges
    )
    assert "the folder of 'read-only/file' is not writable" in told


def without_privileges():
    """Give up the rights of root over files, if this is root."""
    version_3 = 0x20080522
    header, nothing = (ctypes.c_uint32 * 2)(version_3, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, nothing) == 0


@pytest.mark.parametrize("shard", ["0/2", "3/2", "2", "1/x", "1/" + 5000 * "9"])
def test_shards_that_there_are_not(here, shard):
    here.refuses("OQ434", *CALIBRATE, "imgs", "--shard", shard)


@pytest.mark.parametrize("option", ["--checkpoint", "-o"])
def test_a_device_is_no_place_for_a_file(here, option):
    told = here.refuses("OQ501", *CALIBRATE, "imgs", option, "/dev/null")
    assert "'/dev/null' is not a regular file" in told


WAITS = """
import time, numpy as np
from pathlib import Path
def load_data():
    yield np.ones((1, 3, 16, 16))
    Path("waiting").touch()
    while Path("waiting").exists():
        time.sleep(0.02)
    yield np.ones((1, 3, 16, 16))
"""


@contextmanager
def waiting(here, *more):
    """A run over a loader that waits between its samples until the file 'waiting' goes."""
    (here / "loader.py").write_text(WAITS)
    command = [ONNXQ, *CALIBRATE, "loader.py", *KEPT, *more]
    with subprocess.Popen(command, cwd=here.folder, stdout=subprocess.DEVNULL) as process:
        try:
            while not (here / "waiting").exists():
                assert process.poll() is None
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


def test_two_runs_with_one_checkpoint(here):
    (here / "link.ckpt").symlink_to("run.ckpt")
    with waiting(here) as first:
        for name in ("run.ckpt", "./run.ckpt", "link.ckpt"):
            again = (*CALIBRATE, "imgs", "--checkpoint", name)
            assert f"the checkpoint '{name[2:] if name[0] == '.' else name}'" in here.refuses(
                "OQ437", *again
            )
            here.refuses("OQ437", *again, "--resume")
        (here / "waiting").unlink()
        assert first.wait() == 0
    assert not list(here.folder.glob(".run.ckpt*"))


def test_a_run_that_was_killed_keeps_nobody_out(here):
    with waiting(here) as first:
        first.kill()
        first.wait()
        assert (here / ".run.ckpt.lock").exists()
    succeeded(here.run(*CALIBRATE, "imgs", *KEPT))
    assert not list(here.folder.glob(".run.ckpt*"))
