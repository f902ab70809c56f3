"""The process that builds: how it may end, and that none is left behind."""

import functools
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

HANGS = 1800  # seconds; no test depends on how fast the machine is


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that the command line of every builder of the test names."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def builders(folder):
    """Processes that build for a test, by id."""
    ids = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:  # it ended just now
            continue
        if str(folder).encode() in command and b"onnxq.compiler.build" in command:
            ids.append(int(process.name))
    return ids


def wait_for(condition):
    """Wait until the condition holds, and return its value."""
    end = time.monotonic() + HANGS
    while not (value := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return value


def builder_at_work(folder, still_running):
    """The id of the process that builds, once it has loaded TensorRT."""

    def building():
        assert still_running()
        return builders(folder)

    (process,) = wait_for(building)
    wait_for(lambda: b"libtensorrt" in Path(f"/proc/{process}/maps").read_bytes())
    return process


def chain(count, **options):
    """Convs one behind the other."""
    build, data = Builder(), "x"
    for index in range(count):
        channels = 16 if index else 4
        data = build.conv(data, channels, 16, name=f"conv_{index}", **options)
    return build.model(build.op("Relu", data, name="last"))


def slow(folder):
    """A model that takes some twenty seconds to build."""
    path = folder / "model.onnx"
    path.write_bytes(slow_model())
    return path


@functools.cache
def slow_model():
    return chain(800).SerializeToString()


def failure(path, timeout=HANGS):
    with pytest.raises(OnnxqError) as caught:
        builder.build({"model": str(path), "profiles": {}, "targets": ()}, timeout)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic.code, diagnostic.message


def test_a_crash(folder):
    build = Builder()
    model = build.model(build.conv(build.pair("x", "scale"), 4, 8, scale=None))
    model.graph.input.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, []))
    assert failure(saved(model, folder)) == ("OQ660", "TensorRT-RTX crashed (SIGSEGV)")
    assert not builders(folder)


def test_a_time_out(folder):
    expected = ("OQ661", "TensorRT-RTX did not finish in 3 s")
    assert failure(slow(folder), timeout=3.0) == expected
    assert not builders(folder)


def test_too_little_memory(folder):
    build = Builder()
    wide = build.op("MatMul", "x", build.constant(np.ones((1024, 32768), np.float32)))
    saved(build.model(wide, shape=(1, 1024)), folder)
    script = (
        "import sys; from onnxq.verification import builder\n"
        "job = {'model': sys.argv[1], 'profiles': {}, 'targets': ()}\n"
        f"try: builder.build(job, {HANGS})\n"
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
    failures = []
    path = slow(folder)
    thread = threading.Thread(target=lambda: failures.append(failure(path)))
    thread.start()
    os.kill(builder_at_work(folder, thread.is_alive), signal.SIGKILL)
    thread.join(HANGS)
    assert failures == [("OQ662", "TensorRT-RTX ran out of memory (the system killed it)")]


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_onnxq_is_stopped(folder, number, code):
    saved(chain(1, weights=False, scale=None), folder, "float.onnx")
    slow(folder)
    command = [ONNXQ, "verify", "float.onnx", "model.onnx", "--no-cache"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE) as process:
        builder_at_work(folder, lambda: process.poll() is None)
        process.send_signal(number)
        assert (process.wait(HANGS), process.stderr.read()) == (code, b"")
    wait_for(lambda: not builders(folder))
    assert not list(folder.glob("onnxq-*/result.json")), "the build went on to its end"


def test_nothing_is_left_in_the_way(folder):
    path = saved(quantized_conv(), folder)
    result = builder.build({"model": str(path), "profiles": {}, "targets": ()}, HANGS)
    assert result["engine_bytes"] > 10_000
    assert list(folder.iterdir()) == [path]
