"""Checkpoints and shards as a user meets them."""

import ctypes

import numpy as np
import pytest

from tests.command import succeeded

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
    broken_off.refuses("OQ431", *CALIBRATE, "samples", *KEPT, "--resume")


def test_another_loader_of_the_same_size(here):
    text = "import numpy as np\ndef load_data():\n    yield np.full((1, 3, 16, 16), {})\n    {}\n"
    (here / "loader.py").write_text(text.format(1, "1 / 0"))
    assert here.run(*CALIBRATE, "loader.py", *KEPT).returncode == 2
    (here / "loader.py").write_text(text.format(2, "1 / 1"))
    here.refuses("OQ431", *CALIBRATE, "loader.py", *KEPT, "--resume")


@pytest.mark.parametrize("output", [("-o", "run.ckpt"), ("-o", "./imgs/../run.ckpt")])
def test_a_checkpoint_in_the_place_of_the_output(here, output):
    told = here.refuses("OQ502", *CALIBRATE, "imgs", "--checkpoint", "run.ckpt", *output)
    assert "give another --checkpoint" in told


@pytest.mark.parametrize("option", ["-o", "--checkpoint"])
def test_a_folder_that_cannot_be_written_to(here, option):
    (here / "read-only").mkdir(0o555)
    told = here.refuses(
        "OQ501", *CALIBRATE, "imgs", option, "read-only/file", prepare=without_privileges
    )
    assert "the folder of 'read-only/file' cannot be written to" in told


def without_privileges():
    """Give up the rights of root over files, if this is root."""
    version_3 = 0x20080522
    header, nothing = (ctypes.c_uint32 * 2)(version_3, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, nothing) == 0


@pytest.mark.parametrize("shard", ["0/2", "3/2", "2", "1/x", "1/" + 5000 * "9"])
def test_shards_that_there_are_not(here, shard):
    here.refuses("OQ434", *CALIBRATE, "imgs", "--shard", shard)
