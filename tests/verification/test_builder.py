"""The process that builds: how it may end, and that none is left behind."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from onnxq.diagnostics import OnnxqError
from onnxq.verification import builder
from tests.command import ONNXQ

from .models import Builder, quantized_conv, saved

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")

DEADLINE = 60  # seconds for what takes a fraction of one


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that the command line of every builder of the test names."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def builders(folder):
    """Processes that build for a test, by id."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:  # it ended just now
            continue
        if str(folder).encode() in command and b"onnxq.verification._build" in command:
            found.append(int(process.name))
    return found


def wait_for(condition):
    end = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def chain(count, **options):
    """Convs one behind the other."""
    build, data = Builder(), "x"
    for index in range(count):
        channels = 16 if index else 4
        data = build.conv(data, channels, 16, name=f"conv_{index}", **options)
    return build.model(build.op("Relu", data, name="last"))


def slow(folder):
    """A model that takes some twenty seconds to build."""
    return saved(chain(800), folder)


def failure(path, timeout=100.0):
    with pytest.raises(OnnxqError) as caught:
        builder.build({"model": str(path), "profiles": {}, "targets": ()}, timeout)
    (found,) = caught.value.diagnostics
    return found.code, found.message


def test_a_crash(folder):
    build = Builder()
    model = build.model(build.conv(build.pair("x", "scale"), 4, 8, scale=None))
    model.graph.input.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, []))
    assert failure(saved(model, folder)) == ("OQ660", "TensorRT-RTX crashed (SIGSEGV)")
    assert not builders(folder)


def test_a_time_out(folder):
    told = failure(slow(folder), timeout=3.0)
    assert told == ("OQ661", "TensorRT-RTX did not finish in 3 s")
    assert not builders(folder)


def test_too_little_memory(folder):
    build = Builder()
    wide = build.op("MatMul", "x", build.constant(np.ones((1024, 32768), np.float32)))
    saved(build.model(wide, shape=(1, 1024)), folder)
    script = (
        "import sys; from onnxq.verification import builder\n"
        "job = {'model': sys.argv[1], 'profiles': {}, 'targets': ()}\n"
        "try: builder.build(job, 100)\n"
        "except Exception as reason: print(reason)"
    )
    limited = 'ulimit -v 900000; exec "$@"'  # kilobytes; the weights alone have 134 MB
    outcome = subprocess.run(
        ["bash", "-c", limited, "-", sys.executable, "-c", script, str(folder / "model.onnx")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert outcome.stdout.startswith("error[OQ662]: TensorRT-RTX ran out of memory;")
    assert not builders(folder)


def test_killed_by_the_system(folder):
    told = []
    path = slow(folder)
    thread = threading.Thread(target=lambda: told.append(failure(path)))
    thread.start()
    (process,) = wait_for(lambda: builders(folder))
    os.kill(process, signal.SIGKILL)
    thread.join(DEADLINE)
    assert told == [("OQ662", "TensorRT-RTX ran out of memory (the system killed it)")]


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_onnxq_is_stopped(folder, number, code):
    saved(chain(1, weights=False, scale=None), folder, "float.onnx")
    slow(folder)
    command = [ONNXQ, "verify", "float.onnx", "model.onnx", "--no-cache"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE) as process:
        (built_by,) = wait_for(lambda: builders(folder) or process.poll())
        wait_for(lambda: b"libtensorrt" in Path(f"/proc/{built_by}/maps").read_bytes())
        process.send_signal(number)
        assert (process.wait(DEADLINE), process.stderr.read()) == (code, b"")
    wait_for(lambda: not builders(folder))


def test_nothing_is_left_in_the_way(folder):
    path = saved(quantized_conv(), folder)
    result = builder.build({"model": str(path), "profiles": {}, "targets": ()}, 100)
    assert result["engine_bytes"] > 10_000
    assert list(folder.iterdir()) == [path]
