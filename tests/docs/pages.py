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


def run_page(
    page: str, folder: Path, *, section: str = "", python: str = sys.executable
) -> list[tuple[str, subprocess.CompletedProcess[str]]]:
    """Each command line and what it did, which ends with the exit code that its comment says.

    A block of Python or YAML becomes the file of its first line, `# mine.yaml`. With `section` only
    what stands under that heading; `python` is the interpreter of lines that begin with its name.
    """
    outcomes = []
    text = (ROOT / page).read_text()
    if section:
        text = text.split(f"\n## {section}\n")[1].partition("\n## ")[0]
    for language, block in BLOCK.findall(text):
        if language == "sh":
            lines = block.replace("\\\n", " ").splitlines()
            outcomes += [
                (line.split("#")[0].strip(), run_line(line, folder, python)) for line in lines
            ]
        else:
            name = NAME.match(block)
            assert name, f"a block of {page} names no file: {block}"
            (folder / name[1]).write_text(block)
    return outcomes


def run_line(
    line: str, folder: Path, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    """Run one line of a shell block."""
    program, *words = shlex.split(line, comments=True)
    if program == "onnxq":
        outcome = onnxq(*words, cwd=folder)
    else:
        assert program in ("python", "polygraphy"), line
        script = [] if program == "python" else [Path(python).with_name(program)]
        outcome = subprocess.run(
            [python, *script, *words], cwd=folder, capture_output=True, text=True, check=False
        )
    expected = EXIT_CODE.search(line)
    assert outcome.returncode == int(expected[1] if expected else 0), (
        f"{line}\n{outcome.stdout}{outcome.stderr}"
    )
    return outcome
