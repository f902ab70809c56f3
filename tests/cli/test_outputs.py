"""Output files appear whole or not at all, and never in the place of something else."""

import functools
import os
import resource
import stat
import subprocess
import sys

import onnx
import pytest

from tests.command import succeeded

CALIBRATE = ("calibrate", "model.onnx", "--data", "imgs")
INSERT = ("insert", "--rules", "rules.yaml")
GPU = "name: board\nbandwidth: 100\nint8: 10\nfp16: 5\nfp32: 2\n"
BOTH = pytest.mark.parametrize("command", [CALIBRATE, INSERT], ids=["calibrate", "insert"])


def full_disk(size):
    """Make every file that the process writes end at `size` bytes, as a full disk does."""
    return functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))


@BOTH
@pytest.mark.parametrize("size", [0, 100, 600])
def test_full_disk(here, command, size):
    for name in ("model.calib.npz", "model.qdq.onnx"):
        if command is CALIBRATE and (here / name).exists():
            (here / name).unlink()
    here.refuses("OQ501", *command, prepare=full_disk(size))


@BOTH
def test_full_disk_keeps_the_file_from_before(here, command):
    (here / "model.qdq.onnx").write_bytes(b"the one from before")
    here.refuses("OQ501", *command, prepare=full_disk(300))


def test_too_little_memory(here):
    """A limit of 100 MB more than the process has, and a rule file of 16 MB that needs more."""
    (here / "large.yaml").write_text("rules: [" + "{}, " * 2_000_000)
    script = (
        "import onnxq, resource, sys, onnxq.cli.app as app\n"
        "from onnxq import render, yaml_source\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "limit = pages * resource.getpagesize() + 100_000_000\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "sys.argv = ['onnxq', 'rules', 'check', 'large.yaml']\n"
        "app.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=here.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "error[OQ801]: there is not enough memory" in done.stderr


@BOTH
def test_a_dash_is_no_file(here, command):
    assert "'-'" in here.refuses("OQ501", *command, "-o", "-")


@BOTH
def test_missing_output_folder(here, command):
    told = here.refuses("OQ501", *command, "-o", "missing/out")
    assert "missing/out" in told
    assert "does not exist" in told


def test_missing_output_folder_is_told_of_the_model_itself(here):
    told = here.refuses("OQ501", "insert", "-o", "missing/model.onnx")
    assert "the folder of 'missing/model.onnx' does not exist" in told


@BOTH
def test_file_in_the_place_of_the_output_folder(here, command):
    here.refuses("OQ501", *command, "-o", "rules.yaml/out")


@BOTH
def test_folder_as_output(here, command):
    here.refuses("OQ501", *command, "-o", "imgs")


@BOTH
def test_other_kinds_of_file_are_not_replaced(here, command):
    os.mkfifo(here / "pipe")
    here.refuses("OQ501", *command, "-o", "pipe")
    assert stat.S_ISFIFO((here / "pipe").stat().st_mode)


@BOTH
@pytest.mark.parametrize("name", ["model.onnx", "./imgs/../model.onnx", "link.onnx"])
def test_output_over_the_input_model(here, command, name):
    (here / "link.onnx").symlink_to("model.onnx")
    here.refuses("OQ502", *command, "-o", name)


def test_an_older_output_is_replaced(here):
    (here / "model.qdq.onnx").write_text("old")
    with (here / "model.qdq.onnx").open() as reading:  # whoever reads it meanwhile keeps it
        succeeded(here.run(*INSERT))
        assert reading.read() == "old"
    onnx.checker.check_model(str(here / "model.qdq.onnx"), full_check=True)


@BOTH
def test_output_has_the_usual_mode(here, command):
    succeeded(here.run(*command, "-o", "out", prepare=functools.partial(os.umask, 0o027)))
    assert stat.S_IMODE((here / "out").stat().st_mode) == 0o640


def test_output_elsewhere(here):
    (here / "sub").mkdir()
    succeeded(here.run(*CALIBRATE, "-o", "sub/c.calib.npz"))
    succeeded(here.run(*INSERT, "--calibration", "sub/c.calib.npz", "-o", "sub/q.onnx"))
    assert {p.name for p in (here / "sub").iterdir()} == {"c.calib.npz", "q.onnx"}


def test_calibration_finds_its_model_from_another_folder(here):
    (here / "sub").mkdir()
    succeeded(here.run(*CALIBRATE, "-o", "sub/model.calib.npz"))
    (here / "model.calib.npz").unlink()
    moved = type(here)(here / "sub")
    succeeded(moved.run("insert", "--rules", "../rules.yaml"))
    assert (here / "sub" / "model.qdq.onnx").exists()
    assert not (here / "model.qdq.onnx").exists()


@pytest.mark.parametrize("size", [241, 300])
@pytest.mark.parametrize(
    "command",
    [
        ("calibrate", "model.onnx", "--data", "imgs", "-o"),
        ("calibrate", "model.onnx", "--data", "imgs", "--checkpoint"),
        ("insert", "--rules", "rules.yaml", "-o"),
        ("plan", "model.onnx", "-o"),
        ("lint", "model.onnx", "--fix", "-o"),
        ("strip", "model.onnx", "-o"),
        ("quantize", "model.onnx", "--data", "imgs", "-o"),
        ("cache", "export", "model.calib.npz", "-o"),
        ("calib", "merge", "model.calib.npz", "model.calib.npz", "-o"),
    ],
    ids=" ".join,
)
def test_a_file_name_that_is_too_long_is_refused_before_any_work(here, command, size):
    told = here.refuses("OQ501", *command, "n" * size)
    assert "is too long; give the output a name of at most 240 bytes" in told


@pytest.mark.parametrize(
    ("code", "command"),
    [
        ("OQ301", ("plan",)),
        ("OQ301", ("lint",)),
        ("OQ401", ("calibrate", "model.onnx", "--data")),
        ("OQ410", ("calib", "show")),
        ("OQ450", ("cache", "import", "--model", "model.onnx")),
    ],
)
def test_an_input_of_a_name_that_is_too_long_does_not_exist(here, code, command):
    here.refuses(code, *command, "n" * 300)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("calibrate", "model.onnx", "-o", "FILE"), "own.yaml"),
        (("calibrate", "model.onnx", "--checkpoint", "FILE"), "own.yaml"),
        (("quantize", "model.onnx", "--backend", "onnxruntime", "-o", "FILE"), "own.yaml"),
        (("quantize", "model.onnx", "--gpu", "l4.yaml", "--html", "FILE"), "l4.yaml"),
        (("verify", "model.onnx", "model.onnx", "--html", "FILE"), "own.yaml"),
        (("verify", "model.onnx", "model.onnx", "--html", "FILE"), "imgs/0.png"),
        (("verify", "model.onnx", "model.onnx", "--keep-engine", "FILE"), "imgs/0.png"),
        (("verify", "model.onnx", "model.onnx", "--gpu", "l4.yaml", "--html", "FILE"), "l4.yaml"),
    ],
    ids=str,
)
def test_data_and_files_of_options_are_not_overwritten(here, command, name):
    (here / "own.yaml").write_text("resize: stretch\n")
    (here / "l4.yaml").write_text(GPU)
    command = [name if word == "FILE" else word for word in command]
    told = here.refuses("OQ502", *command, "--data", "imgs", "--preprocess", "own.yaml")
    assert f"'{name}' is one of the inputs" in told


def test_a_function_in_a_python_file_does_not_hide_the_file(finished):
    (finished / "loader.py").write_text("import numpy\nmine = [numpy.ones((1, 3, 16, 16))]\n")
    verify = ("verify", "model.onnx", "model.qdq.onnx", "--data", "loader.py:mine")
    finished.refuses("OQ502", *verify, "--html", "loader.py")


def into_a_removed_folder():
    os.mkdir("removed")
    os.chdir("removed")
    os.rmdir("../removed")


@pytest.mark.parametrize("verb", ["plan", "lint", "strip", "calibrate", "quantize"])
def test_a_working_folder_that_was_removed(here, verb):
    data = ("--data", here / "imgs") if verb in ("calibrate", "quantize") else ()
    command = (verb, here / "model.onnx", *data)
    told = here.refuses("OQ501", *command, prepare=into_a_removed_folder)
    assert "the working folder does not exist any more" in told


BASE = "schema: 1\nextends: trt-int8\nrules:\n- {id: a, why: b, match: {op: Gemm}, skip: all}\n"
CHILD = BASE.replace("trt-int8", "base.yaml").replace("Gemm", "MatMul")


@pytest.mark.parametrize(
    "command",
    [
        "plan model.onnx --rules child.yaml -o base.yaml",
        "plan model.onnx --rules child.yaml --html base.yaml",
        "plan model.onnx --diff base.yaml -o base.yaml",
        "plan model.onnx --diff child.yaml --html base.yaml",
        "calibrate model.onnx --data imgs --rules child.yaml -o base.yaml",
        "insert model.onnx --rules child.yaml -o base.yaml",
        "quantize model.onnx --data imgs --rules child.yaml -o base.yaml",
        "sensitivity model.onnx --data imgs --rules child.yaml --html base.yaml",
        "improve model.onnx --data imgs --rules child.yaml -o base.yaml",
        "cache export model.calib.npz --model model.onnx --rules child.yaml -o base.yaml",
        "verify model.onnx model.qdq.onnx --rules child.yaml --html base.yaml",
    ],
)
def test_a_recipe_that_another_one_extends_is_an_input(finished, command):
    (finished / "base.yaml").write_text(BASE)
    (finished / "child.yaml").write_text(CHILD)
    assert "'base.yaml' is one of the inputs" in finished.refuses("OQ502", *command.split())
