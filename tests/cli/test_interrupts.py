"""Ctrl-C while the command line is still importing its modules."""

import signal
import subprocess
import sys

import pytest

# Stands before the import of typer, which onnxq.cli.app begins with.
INTERRUPTED = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            interrupt()

    def __set_name__(self, owner, name):
        os.kill(os.getpid(), signal.SIGINT)

def in_an_import():
    os.kill(os.getpid(), signal.SIGINT)

def in_the_body_of_a_class():  # of which Python 3.11 makes a RuntimeError
    type("Class", (), {"attribute": Interrupt()})

interrupt = globals()[sys.argv.pop()]
sys.meta_path.insert(0, Interrupt())
from onnxq.cli import main
main()
"""


@pytest.mark.parametrize("moment", ["in_an_import", "in_the_body_of_a_class"])
def test_while_modules_are_imported(moment):
    command = [sys.executable, "-c", INTERRUPTED, "--version", moment]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (130, "", "")


def test_a_process_that_ignores_it_goes_on():
    command = [sys.executable, "-c", INTERRUPTED, "--version", "in_an_import"]
    outcome = subprocess.run(
        command, capture_output=True, text=True, check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    assert (outcome.returncode, outcome.stderr) == (0, "")
