"""python -m onnxq: the command line."""

from onnxq.cli import main

main()
