"""All of onnxq on a model over 2 GB, with external data and an old opset, in under 6 GB."""

import itertools
import json
import os
import shutil
import subprocess

import numpy as np
import onnx
import pytest

from tests.command import ONNXQ
from tests.large_model import write

SIZES = [16384, 16384, 16384, 256]
SAID = ["matmul0", "matmul1", "matmul2"]
pytestmark = pytest.mark.long
MEMORY = 6e9  # bytes
DISK = 4e9  # bytes: the model, and a quarter of it for the Q/DQ model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("large")
    free = shutil.disk_usage(made).free
    if free < DISK:
        pytest.skip(
            f"a model over 2 GB needs {DISK / 1e9:g} GB of disk, and {free / 1e9:.1f} are free"
        )
    assert write(made / "m.onnx", SIZES, external=True, opset=11) > 2**31
    rng = np.random.default_rng(0)
    np.save(made / "x.npy", rng.standard_normal((2, SIZES[0]), np.float32))
    np.save(made / "other.npy", rng.standard_normal((2, SIZES[0]), np.float32))
    yield made
    shutil.rmtree(made)  # pytest would keep it for three runs


def measured(folder, *arguments):
    """What a command prints as JSON; it and its children must each stay below MEMORY."""
    with (folder / "out").open("w+") as out, (folder / "err").open("w+") as err:
        process = subprocess.Popen(
            [ONNXQ, *arguments, "--json"], cwd=folder, stdout=out, stderr=err
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        assert process.returncode == 0, err.read()
        assert usage.ru_maxrss * 1024 < MEMORY
        out.seek(0)
        return json.load(out)


def stamps(folder):
    return {p.name: (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.glob("m.onnx*")}


def test_every_command(folder):
    before = stamps(folder)
    assert measured(folder, "calibrate", "m.onnx", "--data", "x.npy")["tensors"] == len(SAID)
    lines = measured(folder, "plan", "m.onnx")["lines"]
    assert [line["node"] for line in lines] == [n for n in SAID for _ in range(2)]
    assert measured(folder, "explain", "m.onnx", "matmul1")["explanations"]
    assert measured(folder, "insert", "m.onnx")["weight_pairs"] == len(SAID)
    report = measured(
        folder, "verify", "m.onnx", "m.qdq.onnx", "--data", "other.npy", "--backend", "onnxruntime"
    )
    assert report["models"][0]["lint"] == []
    assert 25 < report["models"][0]["numeric"]["sqnr_db"] < 45  # measured: 32
    assert stamps(folder) == before
    made = onnx.load(folder / "m.qdq.onnx", load_external_data=False)
    assert made.opset_import[0].version == 13
    data = (folder / "m.qdq.onnx.data").stat().st_size
    assert 0 <= data - sum(a * b for a, b in itertools.pairwise(SIZES)) < 1e6  # scales
    onnx.checker.check_model(str(folder / "m.qdq.onnx"), full_check=True)
    report = measured(
        folder, "verify", "m.onnx", "m.qdq.onnx", "--backend", "tensorrt-rtx",
        "--shape", f"h0:1x{SIZES[0]}",
    )  # fmt: skip
    assert {op["precision"] for op in report["models"][0]["compiled"]["ops"]} == {"int8"}
