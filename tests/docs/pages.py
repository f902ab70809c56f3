"""A page that is run from top to bottom: its files are written, its command lines run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.cli.forked import onnxq
from tests.documents import ROOT

BLOCK = re.compile(r"^```(python|yaml|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"# ([\w./-]+\.\w+)\n")
EXIT_CODE = re.compile(r"# exit code (\d)")


def run_page(page: str, folder: Path) -> list[tuple[str, subprocess.CompletedProcess[str]]]:
    """Each command line and what it did, which ends with the exit code that its comment says.

    A block of Python or YAML becomes the file of its first line, `# mine.yaml`.
    """
    outcomes = []
    for language, block in BLOCK.findall((ROOT / page).read_text()):
        if language == "sh":
            lines = block.replace("\\\n", " ").splitlines()
            outcomes += [(line.split("#")[0].strip(), run_line(line, folder)) for line in lines]
        else:
            name = NAME.match(block)
            assert name, f"a block of {page} names no file: {block}"
            (folder / name[1]).write_text(block)
    return outcomes


def run_line(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one line of a shell block."""
    program, *words = shlex.split(line, comments=True)
    if program == "onnxq":
        outcome = onnxq(*words, cwd=folder)
    else:
        assert program == "python", line
        outcome = subprocess.run(
            [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False
        )
    expected = EXIT_CODE.search(line)
    assert outcome.returncode == int(expected[1] if expected else 0), (
        f"{line}\n{outcome.stdout}{outcome.stderr}"
    )
    return outcome
