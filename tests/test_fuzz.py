"""What the fuzzers began with and what they have broken is accepted or refused in words."""

import sys

import pytest

from tests.documents import ROOT

sys.path.append(str(ROOT / "fuzz"))
import targets

CORPUS = sorted(p for p in (ROOT / "fuzz" / "corpus").glob("*/*"))


@pytest.mark.parametrize("file", CORPUS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_every_input_is_accepted_or_refused(file, tmp_path):
    target = targets.TARGETS[file.parent.name]
    accepted = targets.attempt(target, file.read_bytes(), tmp_path / "work")
    assert accepted or file.name.startswith(("broken", "selectors", "run"))


def test_every_target_has_an_input():
    assert {file.parent.name for file in CORPUS} == targets.TARGETS.keys()
    assert {p.name for p in (ROOT / "fuzz" / "corpus").iterdir()} == targets.TARGETS.keys()
