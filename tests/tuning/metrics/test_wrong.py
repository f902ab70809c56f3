"""Metrics that do what they should not: each ends as one coded error, and harms nothing."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onnxq.feeds.samples import Sample
from onnxq.tuning.metrics import calls
from onnxq.tuning.metrics.metric import load_metric
from tests.onnx_text import model

from .files import MODEL, SAMPLES, problem, score, written

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="of POSIX systems")

CANNOT_BE_USED = {
    "missing.py": "the metric 'missing.py' does not exist; correct the path",
    "scores.py": "the metric 'scores.py' does not exist; did you mean 'score.py'?",
    "score.py:map5": "'score.py' has no function 'map5'; did you mean 'map50'?",
    "score.py": "'score.py' has no function 'metric'; define metric(outputs, sample) in it, or",
    "score.py:LIMIT": "'score.py' has no function 'LIMIT'",
    "score": "the metric 'score' is no Python file; give a Python file and its function",
    "score.py:one": "the metric cannot be called with (outputs, sample): one(outputs); define one(",
    "score.py:whole": "cannot be called with (outputs, sample): whole(runner, truth); define",
    "syntax.py": "the metric raised SyntaxError",
    "raises.py": "the metric raised ZeroDivisionError: division by zero, after it printed 'before'",
    "exits.py": "the metric raised SystemExit: 3",
    "interrupts.py": "the metric raised KeyboardInterrupt",
    "needs.py": "the metric raised ModuleNotFoundError: No module named 'pycocotool'",
}


@pytest.mark.parametrize("name", CANNOT_BE_USED)
def test_a_metric_that_cannot_be_used(folder, name):
    written(
        folder,
        """
    LIMIT = 0.5
    def map50(outputs, sample): return 1
    def one(outputs): return 1
    def whole(runner, truth): return 1
    c = max
    """,
    )
    written(folder, "def metric(outputs, sample) return 1", "syntax.py")
    written(folder, "print('before')\n1 / 0", "raises.py")
    written(folder, "import sys\nsys.exit(3)", "exits.py")
    written(folder, "raise KeyboardInterrupt", "interrupts.py")
    written(folder, "import pycocotool", "needs.py")
    seen = problem(load_metric, name)
    assert seen.code == "OQ490"
    assert CANNOT_BE_USED[name] in f"{seen.message}; {seen.fix}"
    if "raised" in seen.message:
        assert (seen.span.file, seen.span.line) == (
            name,
            {"raises.py": 2, "exits.py": 2}.get(name, 1),
        )


def test_a_limit_that_is_none(folder):
    name = written(folder, "def metric(outputs, sample): return 1")
    assert [problem(load_metric, name, s).code for s in (0, -1, float("nan"))] == ["OQ490"] * 3
    assert score(name, timeout_s=float("inf")) == 1


RAISES = {
    "1 / 0": "the metric raised ZeroDivisionError: division by zero at '2.png'",
    "outputs['scores']": "the metric raised KeyError: 'scores' at '2.png'",
    "sys.exit('no')": "the metric raised SystemExit: no at '2.png'",
    "raise_(Unshowable())": "the metric raised Unshowable at '2.png'",
    "raise_(ValueError('x' * 10**6))": "the metric raised ValueError: xxx",
    "raise_(OnnxqError())": "the metric raised OnnxqError at '2.png'",
    "(os.chdir('/'), 1 / 0)": "the metric raised ZeroDivisionError: division by zero at '2.png'",
    "(print('\\udc80 7'), 1 / 0)": "division by zero at '2.png', after it printed '\\udc80 7'",
    "raise_(ValueError('\\udc80'))": "the metric raised ValueError: \\udc80 at '2.png'",
    "(print('\\x1b[31ma\\r\\x07b'), 1 / 0)": "at '2.png', after it printed 'a | b'",
    "(sys.stdout.close(), 1 / 0)": "division by zero at '2.png'",
    "(print('x' * 10**7, end='y'), 1 / 0)": "at '2.png', after it printed '...xxx",
}


@pytest.mark.parametrize("expression", RAISES)
def test_a_metric_that_raises(folder, expression):
    name = written(
        folder,
        f"""
    import os, sys
    from onnxq import OnnxqError
    class Unshowable(Exception):
        def __str__(self): raise ValueError
    def raise_(error): raise error
    def metric(outputs, sample):
        if sample.number == 2:
            return {expression}
        return 1
    """,
    )
    seen = problem(score, name)
    assert seen.code == "OQ491"
    assert RAISES[expression] in seen.message
    assert len(seen.message) < 2000
    if "Unshowable" not in expression:
        assert seen.span.file == "score.py"
        assert seen.span.line == (6 if "raise_" in expression else 9)
        assert seen.span.source


NO_NUMBERS = {
    "None": "None", "'0.5'": "'0.5'", "math.nan": "NaN", "-math.inf": "-inf",
"outputs['y']": "an array of shape [1, 3]",
    "outputs": "a value of type 'dict'", "(lambda: 1)": "a value of type 'function'",
    "Evil()": "a value of type 'Evil'", "1j": "a value of type 'complex'",
    "(i for i in 'a')": "a value of type 'generator'",
}  # fmt: skip


@pytest.mark.parametrize("expression", NO_NUMBERS)
def test_a_metric_that_gives_no_number(folder, expression):
    name = written(
        folder,
        f"""
    import math
    import numpy as np
    class Evil:
        def __float__(self): raise MemoryError
        def __reduce__(self): return exit, ()
    def metric(outputs, sample):
        return {expression} if sample.number == 2 else 1
    """,
    )
    seen = problem(score, name)
    assert seen.code == "OQ492"
    message = f"the metric gives {NO_NUMBERS[expression]} at '2.png', not a finite number"
    assert seen.message == message


def test_nan_of_the_model_is_told_from_nan_of_the_metric(folder):
    name = written(folder, "def metric(outputs, sample): return outputs['y'].mean()")
    logarithm = model("small (float[1, 3] x) => (float[1, 3] y) { y = Log (x) }")
    negative = Sample(name="a.png", tensors={"x": -np.ones((1, 3), np.float32)}, digest="")
    with load_metric(name) as metric:
        seen = problem(metric.score, logarithm, [negative])
    assert seen.message == (
        "the metric gives NaN at 'a.png', not a finite number: the outputs there are not finite "
        "either"
    )


ENDLESS = {
    "spin()": 7,
    "time.sleep(10**6)": 9,
    "re.match('(a+)+$', 'a' * 50 + 'b')": 9,  # never lets go of Python's lock
    "[t.join() for t in [threading.Thread(target=spin)] if not t.start()]": 7,
}


@pytest.mark.parametrize("expression", ENDLESS)
def test_a_metric_without_end(folder, expression):
    name = written(
        folder,
        f"""
    import re, threading, time
    def spin():
        value = 1
        while value:
            value += 1
    def metric(outputs, sample):
        return {expression}
    """,
    )
    with load_metric(name) as metric:
        seen = problem(replace(metric, timeout_s=0.2).score, MODEL, SAMPLES)
    assert (seen.code, seen.message) == ("OQ493", "the metric took more than 0.2 s at '0.png'")
    assert seen.span.file == "score.py"


def test_an_import_without_end(folder):
    name = written(folder, "while True:\n    pass")
    seen = problem(load_metric, name, 0.2)
    assert seen.code == "OQ493"
    assert seen.message == "the metric took more than 0.2 s while its file was imported"
    assert seen.span.line in (1, 2)


@posix
def test_a_metric_that_stops_its_clock(folder, monkeypatch):
    monkeypatch.setattr(calls, "_GRACE_S", 0.0)
    text = """
    import os, signal
    def metric(outputs, sample): os.kill(os.getpid(), signal.SIGSTOP)
    """
    with load_metric(written(folder, text)) as metric:
        seen = problem(replace(metric, timeout_s=0.2).score, MODEL, SAMPLES)
    assert seen.code == "OQ493"


LOST = {
    "os._exit(0)": "ended its process (exit code 0)",
    "os.kill(os.getpid(), signal.SIGSEGV)": "crashed (SIGSEGV)",
    "ctypes.string_at(0)": "crashed (SIGSEGV)",
    "os.kill(os.getpid(), signal.SIGKILL)": "crashed (SIGKILL)",
    "os.closerange(0, 1000)": "ended its process (exit code 1)",
    "(os.fork() or time.sleep(600)) and os._exit(4)": "ended its process (exit code 4)",
    "[os.write(d, b'nonsense\\n') for d in pipes()]": "broke the connection to its process",
    "[os.write(d, b'{}\\n') for d in pipes()]": "broke the connection to its process",
    "[os.write(d, b'{\"result\": NaN}\\n') for d in pipes()]": "broke the connection",
    "[os.write(d, b'{\"error\": {}}\\n') for d in pipes()]": "broke the connection",
    "[os.write(d, b'x' * 10**7) for d in pipes()]": "broke the connection",
}


@posix
@pytest.mark.parametrize("expression", LOST)
def test_a_metric_that_loses_its_process(folder, expression):
    name = written(
        folder,
        f"""
    import ctypes, os, signal, stat, time
    def pipes():
        for descriptor in range(3, 20):
            try:
                os.write(descriptor, b"")
                if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                    yield descriptor
            except OSError:
                pass
    def metric(outputs, sample):
        if sample.number < 2:
            return 1
        print("so far", sample.number)
        return {expression}
    """,
    )
    with load_metric(name) as metric:
        seen = problem(metric.score, MODEL, SAMPLES)
    assert seen.code == "OQ494"
    assert seen.message.startswith(f"the metric {LOST[expression]}")
    assert " at '2.png'" in seen.message
    if "closerange" not in expression:
        assert seen.message.endswith(", after it printed 'so far 2'")
    if "SEGV" in seen.message:
        assert seen.span.line == 15


def test_an_import_that_loses_the_process(folder):
    name = written(folder, "import os\nprint('bye')\nos._exit(7)")
    seen = problem(load_metric, name)
    assert seen.code == "OQ494"
    assert seen.message == (
        "the metric ended its process (exit code 7) while its file was imported, "
        "after it printed 'bye'"
    )


@posix
def test_a_forked_process_does_not_speak(folder):
    text = """
    import os
    def metric(outputs, sample):
        if os.fork():
            os.wait()
            return 1
        return 2
    """
    assert score(written(folder, text)) == 1


def test_after_an_error_the_next_score_works(folder):
    text = """
    import os
    def metric(outputs, sample):
        if os.path.exists("bad"):
            os._exit(1)
        return 1
    """
    with load_metric(written(folder, text)) as metric:
        (folder / "bad").touch()
        assert problem(metric.score, MODEL, SAMPLES).code == "OQ494"
        (folder / "bad").unlink()
        assert metric.score(MODEL, SAMPLES) == 1


def test_threads_that_go_on_do_not_keep_it(folder):
    text = """
    import threading, time
    def metric(outputs, sample):
        threading.Thread(target=time.sleep, args=(10**6,)).start()
        return 1
    """
    assert score(written(folder, text)) == 1


def test_no_space_for_arrays(folder, monkeypatch):
    def full(file, arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(calls, "save_arrays", full)
    seen = problem(score, written(folder, "def metric(outputs, sample): return 1"))
    assert seen.code == "OQ494"
    assert "no space left on device" in seen.message


def test_a_model_that_fails_is_no_fault_of_the_metric(folder):
    name = written(folder, "def metric(outputs, sample): return 1")
    other = Sample(name="a.png", tensors={"x": np.ones((1, 4), np.float32)}, digest="")
    with load_metric(name) as metric:
        assert problem(metric.score, MODEL, [other]).code == "OQ305"
        assert metric.score(MODEL, SAMPLES) == 1


PROGRAM = """
import sys
from onnxq.tuning.metrics.metric import load_metric
from tests.tuning.metrics.files import MODEL, SAMPLES
with load_metric("score.py") as metric:
    metric.score(MODEL, SAMPLES)
"""


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_both(folder, number):
    written(
        folder,
        """
    import os, time
    def metric(outputs, sample):
        with open("pid.part", "w") as file:
            file.write(str(os.getpid()))
        os.rename("pid.part", "pid")
        time.sleep(10**6)
    """,
    )
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": root, "TMPDIR": str(folder)}
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        eventually((folder / "pid").exists)
        process.send_signal(number)
        errors = process.stderr.read().decode()
    assert process.returncode == -number
    assert ("KeyboardInterrupt" in errors) == (number == signal.SIGINT)
    child = int((folder / "pid").read_text())
    eventually(lambda: not is_running(child))
    if number == signal.SIGINT:
        assert not list(folder.glob("onnxq-*"))


def eventually(condition):
    """Wait; the limit is against hangs alone."""
    limit = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def is_running(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # one that ended, and nobody waited for
