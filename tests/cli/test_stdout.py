"""stdout is for the result: nothing that the user's Python file or its children print."""

import os
import subprocess

import pytest

from tests.command import ONNXQ, result, succeeded
from tests.command import onnxq as onnxq_anew

QUICK = ("--backend", "onnxruntime")
LOADER = """
import ctypes, os, subprocess, sys
import torch
from torch.utils.data import DataLoader, Dataset

print("imported")


class Pictures(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        print(f"item {index}", flush=True)
        return torch.full((3, 16, 16), index / 3)


def load_data():
    print("begun")
    sys.__stdout__.write("around\\n")
    os.write(1, b"below\\n")
    subprocess.run(["echo", "child"], check=True)
    for batch in DataLoader(Pictures(), num_workers=WORKERS, multiprocessing_context=CONTEXT):
        yield batch
    print("ended")
"""
PRINTED = ["imported", "begun", "around", "below", "child", "item 0", "item 1", "item 2", "ended"]


@pytest.fixture(params=[(0, None), (2, "fork"), (2, "spawn")], ids=str)
def loader(request, here):
    workers, context = request.param
    text = LOADER.replace("WORKERS", str(workers)).replace("CONTEXT", repr(context))
    (here / "loader.py").write_text(text)
    return here


def test_a_loader_that_prints(loader):
    """Its words are all there, on stderr, and stdout is what it is without them."""
    arguments = ("model.onnx", "--data", "loader.py")
    told = onnxq_anew("calibrate", *arguments, "--json", cwd=loader.folder)
    assert result(succeeded(told))["samples"] == 3
    for words in PRINTED:
        assert words in told.stderr, words  # another process may write before the line ends


@pytest.mark.parametrize("loader", [(0, None)], indirect=True, ids=str)
def test_the_result_for_people_of_a_loader_that_prints(loader):
    told = onnxq_anew("calibrate", "model.onnx", "--data", "loader.py", cwd=loader.folder)
    assert succeeded(told).stdout.splitlines() == [
        "x: 0 to 0.6667, mean 0.333",
        "model.calib.npz: 2 tensors, 3 samples, 5,376 values",
    ]


@pytest.mark.parametrize("loader", [(0, None)], indirect=True, ids=str)
def test_every_verb_that_reads_data(loader):
    quantize = ("quantize", "model.onnx", "--data", "loader.py", "--json", *QUICK)
    assert result(succeeded(loader.run(*quantize)))["calibrate"]["samples"] == 3
    verify = ("verify", "model.onnx", "model.qdq.onnx", "--data", "loader.py", "--json", *QUICK)
    assert result(succeeded(loader.run(*verify)))["models"][0]["numeric"]["samples"] == 3
    quiet = succeeded(loader.run("calibrate", "model.onnx", "--data", "loader.py", "--quiet"))
    assert quiet.stdout == ""


@pytest.mark.parametrize("loader", [(0, None)], indirect=True, ids=str)
def test_errors_as_json_of_a_loader_that_prints(loader):
    arguments = ("calibrate", "model.onnx", "--data", "loader.py:nobody", "--json")
    outcome = loader.run(*arguments)
    assert outcome.returncode == 2
    assert [d["code"] for d in result(outcome)["diagnostics"]] == ["OQ421"]
    assert outcome.stderr.splitlines() == ["imported"]


@pytest.mark.parametrize(
    "command",
    [["--help"], [], ["--version"], ["rules", "--help"], ["quantize", "--help"], ["lint", "-h"]],
    ids=" ".join,
)
def test_a_reader_that_goes_away_from_the_help(command):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([ONNXQ, *command], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
