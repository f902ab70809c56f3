"""The options of the verbs: quantize has those of its parts, and help fits 80 columns."""

import re

import pytest
from typer.main import get_command

from onnxq.cli.app import app
from tests.command import succeeded

from .forked import onnxq


def leaves(command, path=()):
    """Every command, by the words that name it."""
    if not hasattr(command, "commands"):
        return {path: command}
    return {
        words: leaf
        for name, inner in command.commands.items()
        for words, leaf in leaves(inner, (*path, name)).items()
    }


VERBS = leaves(get_command(app))


def flags(*words):
    """The options of a command, by name, with what help tells of each."""
    options = (p for p in VERBS[words].params if p.opts[0].startswith("-"))
    return {max(p.opts, key=len): (p.help, p.default, p.metavar) for p in options}


def test_quantize_takes_all_that_its_parts_take():
    verbs = ("calibrate", "improve", "insert", "verify")
    parts = {name for verb in verbs for name in flags(verb)}
    for_parts_alone = {
        "--shard",  # a part of the data is not a calibration to insert from
        "--calibration",  # it makes one
        "--improvement",  # it makes one, with --improve
    }
    assert set(flags("quantize")) == parts - for_parts_alone | {"--verify-data", "--improve"}


def test_options_that_quantize_shares_are_told_alike():
    told_otherwise = {"--data", "--rules", "--plan", "--shape", "--preprocess"}
    for part in ("calibrate", "insert", "verify"):
        shared = flags(part).keys() & flags("quantize").keys() - told_otherwise
        assert {"--json", "--quiet"} < shared
        for name in shared - {"--output"}:
            assert flags(part)[name] == flags("quantize")[name], (part, name)
    for name, part in {"--rules": "insert", "--plan": "insert", "--shape": "verify"}.items():
        assert flags(part)[name] == flags("quantize")[name]
    assert flags("calibrate")["--preprocess"] == flags("quantize")["--preprocess"]


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_help_at_80_columns(tmp_path, words):
    """Nothing is cut or broken inside a word, and it ends in an example of this command."""
    outcome = succeeded(onnxq(*words, "--help", cwd=tmp_path, prepare=narrow))
    lines = outcome.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in outcome.stdout
    text = re.sub(r"[\s│╭╰─╮╯]+", " ", outcome.stdout)
    for name, (help, _, value) in flags(*words).items():
        assert re.search(rf"{name} (-\w )?{re.escape(value or '')}", text), name
        assert help in " ".join(lines) or all(word in text for word in help.split())
    assert f"Example: onnxq {' '.join(words)} " in f"{text} " or "Examples: " in text


def narrow():
    import os

    os.environ.update(COLUMNS="80", TERMINAL_WIDTH="80")


def test_what_people_need_first_comes_first(tmp_path):
    outcome = succeeded(onnxq("quantize", "--help", cwd=tmp_path))
    panels = re.findall(r"─ ([A-Z][^─]*?) ─", outcome.stdout)
    assert panels[:4] == ["Arguments", "Options", "Data", "Q/DQ pairs"]
    named = re.findall(r"│ \*? *(--[a-z-]+)", outcome.stdout)
    first = ["--data", "--preprocess", "--rules", "--output", "--json", "--quiet", "--help"]
    assert named[: len(first)] == first
