"""The `onnxq` command as a user types it: its own process, in a folder."""

import json
import subprocess
import sys
from pathlib import Path

ONNXQ = Path(sys.executable).with_name("onnxq")


def onnxq(*arguments, cwd, **options):
    """Run a command to its end; its output is text. The time limit is against hangs alone."""
    command = [str(ONNXQ), *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=1800, check=False, **options
    )


def succeeded(outcome):
    """The outcome, of a command that must have worked."""
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome


def result(outcome):
    """What a command with --json printed."""
    return json.loads(outcome.stdout)
