"""`onnxq insert` killed at any moment leaves the older output, the new one, or none."""

import hashlib
import time

import numpy as np
import pytest

from tests.cli.forked import killed, onnxq
from tests.command import succeeded
from tests.large_model import write

pytestmark = pytest.mark.long
KILLS = 12
SIZES = [4096, 4096, 4096, 4096, 4096, 4096]  # 336 MB: above what is held in memory
INPUTS = ("m.onnx", "m.onnx.weights", "m.calib.npz")
OLDER = """
schema: 1
extends: trt-int8
rules:
  - {id: one, why: another model, match: {name: matmul0}, skip: all}
"""


@pytest.fixture(scope="module", params=[False, True], ids=["inline", "external"])
def folder(request, tmp_path_factory):
    """A model with its calibration."""
    made = tmp_path_factory.mktemp("killed")
    write(made / "m.onnx", SIZES, external=request.param)
    np.save(made / "x.npy", np.ones((1, SIZES[0]), np.float32))
    succeeded(onnxq("calibrate", "m.onnx", "--data", "x.npy", cwd=made))
    return made


def digests(folder, *names):
    files = (folder / name for name in names)
    return [hashlib.sha256(f.read_bytes()).hexdigest() if f.exists() else "" for f in files]


def output(folder):
    """Digests of the Q/DQ model and its data; None without a model."""
    found = digests(folder, "m.qdq.onnx", "m.qdq.onnx.data")
    return found if found[0] else None


def insert(folder, recipe, run=onnxq, **options):
    return run("insert", "--rules", recipe, "-o", "m.qdq.onnx", cwd=folder, **options)


def test_the_output_is_whole_or_not_there(folder):
    (folder / "older.yaml").write_text(OLDER)
    inputs = digests(folder, *INPUTS)
    succeeded(insert(folder, "older.yaml"))
    older = output(folder)
    started = time.perf_counter()
    succeeded(insert(folder, "trt-int8"))
    seconds = time.perf_counter() - started
    newer = output(folder)
    assert newer[0] != older[0]
    moments = np.random.default_rng(0).permutation(np.linspace(0, 1.05 * seconds, KILLS))
    kills = 0
    for number, moment in enumerate(moments):
        for path in folder.glob("m.qdq.onnx*"):
            path.unlink()
        if number % 2:  # half of the runs replace an older output
            succeeded(insert(folder, "older.yaml"))
        kills += insert(folder, "trt-int8", killed, after=moment)
        assert output(folder) in (older if number % 2 else None, newer, None), moment
    assert kills >= KILLS / 2
    succeeded(insert(folder, "trt-int8"))
    assert output(folder) == newer
    assert not list(folder.glob(".*.part"))
    assert digests(folder, *INPUTS) == inputs
