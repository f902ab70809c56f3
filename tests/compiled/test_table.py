"""Every row of the table, built, and what lint predicted of it."""

from functools import cache

import pytest

from onnxq.linting import lint, predict

from .engine import compiled
from .table import ROWS, recipe


@cache
def _built(name):
    row = next(row for row in ROWS if row.name == name)
    return compiled(row.net, recipe(*row.rules))


def built(row):
    """The engine of a row, built once for all tests."""
    return _built(row.name)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(row):
    made = built(row)
    tensors = [part.partition("=")[0] for part in row.expected.split()]
    assert " ".join(f"{tensor}={made.of(tensor)}" for tensor in tensors) == row.expected
    outlook = predict(made.qdq)
    assert outlook.builds
    assert {op.node: op.precision for op in outlook.ops} == {
        op.node: made.layers.precision(op.node) for op in outlook.ops
    }
    assert all(bool(op.reason) == (op.precision == "float") for op in outlook.ops)


def test_pools_that_lint_names_run_in_float_and_no_others():
    """Average pools are float whatever the pairs; where a MaxPool is, its pairs are at fault."""
    for row in ROWS:
        expected = dict(part.split("=") for part in row.expected.split())
        made = built(row) if "MaxPool" in str(row.net) else None
        for node in made.graph.nodes if made else ():
            if node.op == "MaxPool":
                named = node.name in {f.node for f in lint(made.qdq) if f.code == "OQ627"}
                assert named == (expected[node.outputs[0]] == "Float>Float"), row.name


def test_names_are_unique():
    assert len({row.name for row in ROWS}) == len(ROWS) >= 40
