"""The command line: parse, call one function of the library, render, exit code."""

from onnxq.cli.app import main as main
