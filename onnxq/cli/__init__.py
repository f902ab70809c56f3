"""The command line: parse, call one function of the library, render, exit code."""

from onnxq.interrupts import exit_without_traceback


def main() -> None:
    """Run the command line, whose modules take most of the start and are imported here."""
    with exit_without_traceback():
        from onnxq.cli.app import main as run

        run()
