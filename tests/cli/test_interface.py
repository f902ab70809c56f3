"""The command line itself: help, JSON, --quiet, and how soon it answers."""

import subprocess
import sys

import pytest

from tests.command import ONNXQ, onnxq, result, succeeded

CALIBRATE = ("calibrate", "model.onnx", "--data", "imgs")
INSERT = ("insert", "--rules", "rules.yaml")
VERIFY = ("verify", "model.onnx", "model.qdq.onnx", "--data", "imgs", "--backend", "onnxruntime")
VERBS = {"calibrate": CALIBRATE, "insert": INSERT, "verify": VERIFY}
HEAVY = {"numpy", "onnx", "onnxruntime", "numba", "PIL", "torch", "polygraphy"}


def verbs():
    """The commands that `onnxq --help` lists."""
    from onnxq.cli.app import app

    return [command.name for command in app.registered_commands]


@pytest.mark.parametrize("verb", verbs())
def test_help_of_each_verb_has_an_example(tmp_path, verb):
    for flag in ("--help", "-h"):
        outcome = succeeded(onnxq(verb, flag, cwd=tmp_path))
        assert "Example" in outcome.stdout
        assert f"onnxq {verb}" in outcome.stdout


def test_help_names_every_verb(tmp_path):
    outcome = succeeded(onnxq("--help", cwd=tmp_path))
    for verb in verbs():
        assert f" {verb} " in outcome.stdout
    assert "Exit codes" in outcome.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["insert", "--help"]])
def test_help_imports_nothing_heavy(tmp_path, arguments):
    outcome = subprocess.run(
        [sys.executable, "-X", "importtime", str(ONNXQ), *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in outcome.stderr.splitlines()}
    assert "onnxq.cli" in imported
    assert not imported & HEAVY


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("insert --rule yolo", "there is no option '--rule'; did you mean '--rules'?"),
        ("insert -Z", "there is no option '-Z'; 'onnxq insert --help' has all options"),
        ("insret", "there is no command 'insret'; did you mean 'insert'?"),
        ("rules chekc", "there is no command 'chekc'; did you mean 'check'?"),
        ("--nope", "there is no option '--nope'; 'onnxq --help' has all options"),
        ("calib --nope", "there is no option '--nope'; 'onnxq calib --help' has all options"),
        ("plan m.onnx n.onnx", "got unexpected extra argument(s) (n.onnx); 'onnxq plan --help'"),
        ("calibrate m --data", "option '--data' requires an argument; 'onnxq calibrate --help'"),
        ("calibrate m --float fp8 --data d", "--float has a value that does not fit: 'fp8' is not"),
    ],
)
def test_what_the_command_line_does_not_have(here, arguments, told):
    assert f"error[OQ217]: {told}" in here.refuses("OQ217", *arguments.split())
    (found,) = result(here.run(*arguments.split()[:2], "--nope", "--json"))["diagnostics"]
    assert found["code"] == "OQ217"


@pytest.mark.parametrize(
    ("arguments", "missing", "example"),
    [
        (["verify", "model.onnx"], "QDQ", "onnxq verify model.onnx model.qdq.onnx"),
        (["calibrate", "model.onnx", "imgs"], "--data", "onnxq calibrate model.onnx --data"),
        (["explain"], "MODEL|CODE", "onnxq explain model.onnx"),
        (["calib", "merge"], "FILE", "onnxq calib merge"),
    ],
)
def test_what_is_missing_is_told_with_an_example(here, arguments, missing, example):
    told = here.refuses("OQ217", *arguments)
    assert f"{missing} is missing; give it, as in: {example}" in told


@pytest.mark.parametrize("verb", VERBS)
def test_json_is_all_of_stdout(finished, verb):
    outcome = succeeded(finished.run(*VERBS[verb], "--json"))
    assert result(outcome)["diagnostics"] == []
    assert outcome.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("calibrate", "no.onnx", "--data", "imgs"), "OQ301"),
        (("calibrate", "model.onnx", "--data", "none"), "OQ401"),
        (("insert", "--rules", "none.yaml"), "OQ101"),
        (("insert", "no.onnx", "--rules", "rules.yaml"), "OQ301"),
        (("verify", "no.onnx", "model.onnx"), "OQ301"),
    ],
)
def test_json_of_errors(finished, arguments, code):
    outcome = finished.run(*arguments, "--json")
    assert outcome.returncode == 2
    (told,) = result(outcome)["diagnostics"]
    assert told["code"] == code
    assert told["severity"] == "error"
    assert told["message"]
    assert told["fix"]
    assert outcome.stderr == ""


def test_json_of_rule_errors_has_places(here):
    (here / "bad.yaml").write_text("schema: 1\nrule: []\n")
    outcome = here.run("insert", "--rules", "bad.yaml", "--json")
    (told,) = result(outcome)["diagnostics"]
    assert told["span"] == {"file": "bad.yaml", "line": 2, "column": 1}


@pytest.mark.parametrize("verb", VERBS)
def test_quiet_prints_nothing_on_success(finished, verb):
    outcome = succeeded(finished.run(*VERBS[verb], "--quiet"))
    assert (outcome.stdout, outcome.stderr) == ("", "")


def test_quiet_still_tells_errors(here):
    here.refuses("OQ301", "calibrate", "no.onnx", "--data", "imgs", "--quiet")


def test_result_through_a_pipe_that_closes(finished):
    command = f"'{ONNXQ}' insert --rules rules.yaml | head -c 0"
    outcome = subprocess.run(
        ["bash", "-c", command], cwd=finished.folder, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("arguments", ["plan model.onnx", "plan model.onnx --json", "rules schema"])
def test_a_reader_that_went_away_is_not_a_check_that_said_no(finished, arguments):
    command = f"'{ONNXQ}' {arguments} | true; exit ${{PIPESTATUS[0]}}"
    outcome = subprocess.run(
        ["bash", "-c", command], cwd=finished.folder, capture_output=True, text=True, check=False
    )
    assert (outcome.returncode, outcome.stderr) == (141, "")


def test_closed_streams(finished):
    command = f"'{ONNXQ}' plan model.onnx -o saved.plan >&- 2>&-"
    assert subprocess.run(["bash", "-c", command], cwd=finished.folder, check=False).returncode == 0
    assert (finished / "saved.plan").read_text().startswith("# onnxq plan")


def test_modules_run_as_the_command(tmp_path):
    outcome = subprocess.run(
        [sys.executable, "-c", "from onnxq.cli import main; main()", "--version"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert outcome.stdout.startswith("onnxq ")
