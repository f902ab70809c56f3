"""What the command prints, for people to read: each text file here is a session with onnxq.

A line `== NAME` begins a file of the session's folder (models are ONNX text, arrays JSON, of a
calibration only the version of its format),
`$ onnxq ...` is a command, and what follows is what it prints, errors after the result, and its
exit code unless that is 0. `$ without MODULE onnxq ...` runs it as where MODULE is not installed,
`$ tested VERSION onnxq ...` as if onnxq had been tested with that TensorRT-RTX only,
`$ temporary FOLDER onnxq ...` with another temporary folder than the system's, and
`$ limited N onnxq ...` in a process of its own with N kilobytes of memory.
After a change that is meant, ONNXQ_GOLDEN=write pytest tests/golden writes the output anew; read
the difference before you commit it.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxq.cli import main
from onnxq.codes import CODES
from onnxq.verification import tensorrt
from tests import refusals
from tests.command import ONNXQ
from tests.onnx_text import model
from tests.sealed import archive

HERE = Path(__file__).parent
SESSIONS = sorted(HERE.glob("*/*.txt"))


def parts(text):
    """The pieces of a session: ('file', name, content) and ('command', line, output)."""
    found = []
    for line in text.splitlines(keepends=True):
        if line.startswith("== "):
            found.append(["file", line[3:].strip(), ""])
        elif line.startswith("$ "):
            found.append(["command", line[2:].strip(), ""])
        else:
            found[-1][2] += line
    return found


def place(name, content):
    """Write one of the session's files."""
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".onnx":
        onnx.save(model(content), path)
    elif path.suffix == ".npy":
        np.save(path, np.asarray(json.loads(content), np.float32))
    elif path.suffix == ".npz":
        path.write_bytes(archive([], version=int(content)))
    else:
        path.write_text(content)


def contents():
    """Every file of the working folder."""
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def printed(command, monkeypatch, capfd):
    """Run a command in this process; what it prints and its exit code.

    A command that is refused changes no file, and adds none but the statistics that it gathered.
    """
    before = contents()
    text = printed_by(command, monkeypatch, capfd)
    if text.endswith("\nexit 2\n"):
        after = contents()
        assert {path: after.get(path) for path in before} == before
        assert all(path.suffix in {".ckpt", ".npz"} for path in after.keys() - before.keys())
        refusal = next(line for line in text.splitlines() if "error[OQ" in line)
        refusals.note([command], refusal, Path.cwd())
    return text


def printed_by(command, monkeypatch, capfd):
    """What a command prints, and its exit code."""
    words, code = shlex.split(command), 0
    if words[0] == "limited":
        return limited(*words[1:])
    with monkeypatch.context() as during:
        if words[0] == "without":
            during.setitem(sys.modules, words[1], None)
            del words[:2]
        if words[0] == "tested":
            during.setitem(tensorrt.TESTED, "tensorrt-rtx", (words[1],))
            del words[:2]
        if words[0] == "temporary":
            during.setattr(tempfile, "tempdir", words[1])
            del words[:2]
        during.setattr(sys, "argv", words)
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code or 0
    out, err = capfd.readouterr()
    text = "".join(f"{line.rstrip()}\n" for line in (out + err).splitlines())
    return text + (f"exit {code}\n" if code else "")


def limited(kilobytes, _, *arguments):
    """The same of a process that has no more memory, nor have those that it starts."""
    command = ["bash", "-c", 'ulimit -v "$0"; exec "$@"', kilobytes, ONNXQ, *arguments]
    # Each thread takes memory of its own: the limit holds for one, on any machine.
    outcome = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    text = "".join(f"{line.rstrip()}\n" for line in (outcome.stdout + outcome.stderr).splitlines())
    return text + (f"exit {outcome.returncode}\n" if outcome.returncode else "")


def rewritten(text, monkeypatch, capfd):
    """The session with the output that the commands have now."""
    made = ""
    for kind, head, body in parts(text):
        if kind == "file":
            place(head, body)
            made += f"== {head}\n{body}"
        else:
            made += f"$ {head}\n{printed(head, monkeypatch, capfd)}"
    return made


@pytest.mark.parametrize("session", SESSIONS, ids=lambda p: str(p.relative_to(HERE)))
def test_session(session, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    text = session.read_text()
    found = rewritten(text, monkeypatch, capfd)
    if os.environ.get("ONNXQ_GOLDEN") == "write":
        session.write_text(found)
    else:
        assert found == text


def exits():
    """What ran in all sessions: (command line, exit code)."""
    for session in SESSIONS:
        for kind, command, printed in parts(session.read_text()):
            if kind == "command":
                last = re.search(r"^exit (\d+)\n\Z", printed, re.MULTILINE)
                yield command, int(last[1]) if last else 0


def told_exits():
    """The guide's table of exit codes: the words in backquotes of its last column, by code."""
    text = (HERE.parents[1] / "docs" / "guide" / "ci.md").read_text()
    table = text.partition("## Exit codes")[2].partition("\n#")[0]
    rows = re.findall(r"^\| (\d+) \|.*\| (.*) \|$", table, re.MULTILINE)
    return {int(code): re.findall(r"`(.+?)`", where) for code, where in rows}


def test_the_guide_has_the_exit_codes_of_the_sessions():
    """Just these are seen, but for those of signals; and each command that may exit so does."""
    told, seen = told_exits(), set(exits())
    assert {code for _, code in seen} == told.keys() - {130, 141} == {0, 1, 2, 3}
    for code in (1, 3):
        commands = [command for command, exit_code in seen if exit_code == code]
        for where in told[code]:
            assert any(fits(where, command) for command in commands), (code, where)
        for command in commands:
            assert any(fits(where, command) for where in told[code]), command


def fits(where, command):
    """Whether a command line has all these words."""
    return set(where.split()) <= set(command.split())


def test_every_code_is_in_a_session():
    text = "".join(session.read_text() for session in SESSIONS)
    elsewhere = {
        "OQ307",  # only the library is given models in memory
        "OQ419",  # only the library replaces scales; tests/unit has
        "OQ439",  # takes half a gigabyte; tests/cli has
        "OQ493",  # takes a minute; tests/tuning has it with a shorter limit
        "OQ503",  # no known way
        *("OQ704", "OQ705", "OQ706", "OQ707", "OQ708"),  # only the library has modules; tests/torch
        "OQ801",  # takes a limit of memory; tests/cli has
        "OQ666",  # needs a GPU; tests/verification provokes it without one
    }
    assert {code for code in CODES if f"[{code}]" not in text} == elsewhere
