"""What a shell gets when somebody presses Tab, by the protocol of its completion script."""

import os
import subprocess
import sys

import pytest

from tests.command import ONNXQ


def offered(words, cwd):
    """The words that bash is given, and the modules that this took."""
    protocol = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    outcome = subprocess.run(
        [sys.executable, "-X", "importtime", str(ONNXQ)],
        cwd=cwd, capture_output=True, text=True,
        env=os.environ | protocol | {"_ONNXQ_COMPLETE": "complete_bash"},
    )  # fmt: skip
    modules = {line.rpartition("|")[2].strip() for line in outcome.stderr.splitlines()}
    return outcome.stdout.split(), modules


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("onnxq ins", ["insert"]),
        ("onnxq quantize --rules yol", ["yolo"]),
        ("onnxq calibrate --preprocess image", ["imagenet"]),
        ("onnxq rules show unit", ["unit"]),
        ("onnxq verify --gpu rtx40", ["rtx4090"]),
        ("onnxq improve --without eq", ["equalize"]),
        ("onnxq explain oq46", ["oq460", "oq461", "oq462", "oq463"]),
    ],
)
def test_words_are_offered_without_a_heavy_import(tmp_path, words, expected):
    told, modules = offered(words, tmp_path)
    assert told == expected
    assert "onnxq.cli.app" in modules
    assert not modules & {"numpy", "onnx", "onnxruntime", "numba", "torch"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("onnxq explain model.onnx sec", ["second"]),
        ("onnxq explain model.onnx wei", ["weighted-ops"]),
        ("onnxq plan model.onnx --only fir", ["first"]),
        ("onnxq explain no.onnx sec", []),
    ],
)
def test_names_of_the_model_are_offered(prepared, words, expected):
    told, _ = offered(words, prepared)
    assert told == expected
