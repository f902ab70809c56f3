"""Every row of the table, built."""

import pytest

from .engine import compiled
from .table import ROWS, recipe


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(row):
    made = compiled(row.net, recipe(*row.rules))
    tensors = [part.partition("=")[0] for part in row.expected.split()]
    assert " ".join(f"{tensor}={made.of(tensor)}" for tensor in tensors) == row.expected


def test_names_are_unique():
    assert len({row.name for row in ROWS}) == len(ROWS) >= 40
