"""The page of the accuracy benchmark says what its records say, and records are whole."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import page
import records
from subjects import SUBJECTS
from ways import WAYS

MEASURED = [name for name in SUBJECTS if records.load(name) is not None]


def test_the_page_is_made_from_the_records():
    assert page.PAGE.read_text("utf-8") == page.text(), (
        "write it with: python benchmarks/accuracy.py --models --write"
    )


def test_there_is_a_record_for_every_file():
    assert {file.stem for file in records.RESULTS.glob("*.json")} == set(MEASURED)


@pytest.mark.parametrize("name", MEASURED)
def test_a_cell_has_scores_or_a_problem(name):
    record = records.load(name)
    assert record.model == name
    places = [(cell.way, cell.set) for cell in record.cells]
    assert len(places) == len(set(places))
    for cell in record.cells:
        assert cell.way in WAYS
        assert (cell.scores is None) == (cell.problem is not None)
        if cell.scores is not None:
            assert cell.cost is not None
            assert cell.versions
