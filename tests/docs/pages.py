"""A page that is run from top to bottom: its files are written, its command lines run."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.cli.forked import onnxq
from tests.documents import ROOT, shape_of

BLOCK = re.compile(r"^```(python|yaml|make|sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"# ([\w./-]+\.\w+|Makefile)\n")
EXIT_CODE = re.compile(r"# exit code (\d)")
LEFT_OUT = re.compile(r"^\.\.\.\n", re.MULTILINE)


def run_page(
    page: str, folder: Path, *, section: str = "", python: str = sys.executable
) -> list[tuple[str, subprocess.CompletedProcess[str]]]:
    """Each command line and what it did, which ends with the exit code that its comment says.

    A block of Python, YAML or make becomes the file of its first line, `# mine.yaml`. A block
    `console` has commands behind `$` and lines that they print; a block `text` is not run. With
    `section` only what stands under that heading; `python` is the interpreter of lines that begin
    with its name.
    """
    outcomes = []
    text = (ROOT / page).read_text()
    if section:
        text = text.split(f"\n## {section}\n")[1].partition("\n## ")[0]
    for language, block in BLOCK.findall(text):
        if language in ("sh", "console"):
            for line, shown in _commands(block, is_session=language == "console"):
                outcome = run_line(line, folder, python)
                require_shown(line, shown, outcome)
                outcomes.append((line.split("#")[0].strip(), outcome))
        else:
            name = NAME.match(block)
            assert name, f"a block of {page} names no file: {block}"
            (folder / name[1]).write_text(block)
    return outcomes


def _commands(block: str, *, is_session: bool) -> Iterator[tuple[str, str]]:
    """Each command line of a block, and what the block shows of its output."""
    block = block.replace("\\\n", " ")
    if not is_session:
        yield from ((line, "") for line in block.splitlines())
        return
    for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        line, _, shown = command.partition("\n")
        yield line, shown


def require_shown(line: str, shown: str, outcome: subprocess.CompletedProcess[str]) -> None:
    """The lines that a page shows are printed, in their order, but for figures and widths."""
    warnings = shape_of(outcome.stderr)
    printed = iter(shape_of(outcome.stdout))
    missing = [
        text
        for text in shape_of(LEFT_OUT.sub("", shown))
        if text not in warnings and not any(text == other for other in printed)
    ]
    assert not missing, f"{line}\n{missing[0]}\nis not in:\n{outcome.stdout}{outcome.stderr}"


def run_line(
    line: str, folder: Path, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    """Run one line of a shell block."""
    program, *words = shlex.split(line, comments=True)
    if program == "onnxq":
        outcome = onnxq(*words, cwd=folder)
    else:
        here = Path(python).parent
        programs = {
            "python": [python],
            "polygraphy": [python, here / "polygraphy"],
            "make": ["make"],
        }
        outcome = subprocess.run(
            [*programs[program], *words], cwd=folder, capture_output=True, text=True, check=False,
            env=os.environ | {"PATH": f"{here}{os.pathsep}{os.environ['PATH']}"},
        )  # fmt: skip
    expected = EXIT_CODE.search(line)
    assert outcome.returncode == int(expected[1] if expected else 0), (
        f"{line}\n{outcome.stdout}{outcome.stderr}"
    )
    return outcome
