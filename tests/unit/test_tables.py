"""Tables at any width: nothing is broken, and nothing is missing without a word."""

import io

import pytest
from rich.console import Console

from onnxq.render.tables import table

COLUMNS = ("tensor", "values", "lowest value", "largest", "zeros", "where")
ROWS = [
    ("/model.22/cv3.1/very/long/scope/Conv_output_0", "174M", "-1.25e-07", "60.0", "0%", "a.png"),
    ("x", "2", "-", "3.14159", "100%", "a very long name of a photograph.jpeg"),
]


def printed(width, columns=COLUMNS, rows=ROWS, **options):
    out = io.StringIO()
    table(
        Console(file=out, width=width, force_terminal=True, color_system=None),
        columns,
        rows,
        **options,
    )
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [*range(24, 130, 7), 200])
@pytest.mark.parametrize("drop", [(), ("zeros", "values"), ("where", "lowest value", "zeros")])
def test_every_figure_is_whole_or_its_column_is_named(width, drop):
    lines = printed(width, drop=drop, texts=("where",))
    told = lines.pop() if lines[-1].startswith("not shown") else ""
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    for index, name in enumerate(COLUMNS[1:5], start=1):
        for row in ROWS:
            assert (name in told) or row[index] in words


def left_out(drop, width):
    """How many columns a table of this width leaves out."""
    told = printed(width, drop=drop, texts=("where",))[-1]
    return told.count(",") + 1 if told.startswith("not shown") else 0


def test_columns_go_in_their_order_and_no_more_than_must():
    gone = [left_out(("zeros", "values", "largest"), width) for width in range(110, 20, -1)]
    assert gone == sorted(gone)
    assert set(gone) == {0, 1, 2, 3}
    (told,) = {line for line in printed(52, drop=("zeros", "values"), texts=("where",))
               if line.startswith("not shown")}  # fmt: skip
    assert told.startswith("not shown for lack of room: zeros")


def test_what_may_not_go_comes_in_tables_below_each_other():
    lines = printed(30, ("", "a", "b", "c"), [("SQNR dB", "12.345678", "23.456789", "34.567891")])
    assert max(map(len, lines)) <= 30
    assert sum("SQNR dB" in line for line in lines) > 1
    assert all(figure in " ".join(lines) for figure in ("12.345678", "23.456789", "34.567891"))


def test_headers_stay_in_one_line_where_there_is_room():
    assert any("lowest value" in line for line in printed(140))


def test_a_table_without_rows():
    assert "tensor" in printed(80, rows=[])[1]


def test_two_columns_may_have_one_name():
    assert printed(80, ("", "m.onnx", "m.onnx"), [("dB", "1.5", "2.5")])[3].split() == [
        "dB", "1.5", "2.5",
    ]  # fmt: skip
