"""Tables for any width: names fold, figures do not, and a line names the columns left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

Cell = str | Text

_GAP: Final = 3  # between two columns
_EDGES: Final = 2
_ENDLESS: Final = 100_000
_NAME: Final = 12  # lowest width of a column of names


@dataclass(frozen=True, slots=True)
class _Column:
    """A header and its cells; `folds` is False for figures."""

    header: str
    cells: Sequence[Cell]
    folds: bool

    @property
    def natural(self) -> int:
        """The width without folding."""
        return max(map(_length, (self.header, *self.cells)))

    @property
    def least(self) -> int:
        """The width that figures need; a header may fold between its words."""
        return max(map(_length, (*self.header.split(), *self.cells)), default=0)


def table(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    drop: Sequence[str] = (),
    texts: Sequence[str] = (),
    names: float = 0.2,
    left: bool = False,
) -> None:
    """Print a table with the first column aligned left and the others right, or all of them left.

    In a narrow terminal the first column and the columns `texts` fold, each down to the share
    `names` of the width. If that is not enough, the columns in `drop` are left out one after the
    other, and a line names them. If the rest is still too wide, it is split into several tables.
    In a log or a pipe a row always is one line, for grep.
    """
    width = console.width if console.is_terminal else _ENDLESS
    kept = [
        _Column(header, [row[i] for row in rows], not i or header in texts)
        for i, header in enumerate(columns)
    ]
    dropped: list[str] = []
    for header in drop:
        if header in columns and _least(kept, max(_NAME, int(width * names))) > width:
            kept = [column for column in kept if column.header != header]
            dropped.append(header)
    for part in _parts(kept, width):
        console.print(_rich_table(part, width, left=left), no_wrap=True, crop=False)
    if dropped:
        message = f"not shown for lack of room: {', '.join(dropped)}; --json has all"
        console.print(message, soft_wrap=True)


def _parts(columns: Sequence[_Column], width: int) -> Iterator[Sequence[_Column]]:
    """Split the columns into parts that fit; each part begins with the first column."""
    first, *others = columns
    part = [first]
    for column in others:
        if len(part) > 1 and _least([*part, column], _NAME) > width:
            yield part
            part = [first]
        part.append(column)
    yield part


def _least(columns: Sequence[_Column], name: int) -> int:
    """The width of the columns with whole figures, and with names folded to `name`."""
    sizes = (min(c.natural, name) if c.folds else c.least for c in columns)
    return _whole(tuple(sizes))


def _whole(sizes: Sequence[int]) -> int:
    return sum(sizes) + _GAP * (len(sizes) - 1) + _EDGES


def _rich_table(columns: Sequence[_Column], width: int, *, left: bool) -> Table:
    sizes = _sizes(columns, width)
    width = _whole(sizes)  # else the console limits it
    rich_table = Table(box=SIMPLE_HEAD, pad_edge=False, width=width)
    for column, size in zip(columns, sizes, strict=True):
        rich_table.add_column(
            column.header,
            justify="right" if rich_table.columns and not left else "left",
            overflow="fold",
            width=size,
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        rich_table.add_row(*row)
    return rich_table


def _sizes(columns: Sequence[_Column], width: int) -> list[int]:
    """The width of each column: names share the width that figures leave, the shortest first."""
    sizes = [column.natural for column in columns]
    if _whole(sizes) <= width:
        return sizes
    sizes = [0 if column.folds else column.least for column in columns]
    free = width - _whole(sizes)
    texts = sorted((i for i, c in enumerate(columns) if c.folds), key=lambda i: columns[i].natural)
    for left, index in zip(range(len(texts), 0, -1), texts, strict=True):
        sizes[index] = max(1, min(columns[index].natural, free // left))
        free -= sizes[index]
    return sizes


def _length(cell: Cell) -> int:
    return cell.cell_len if isinstance(cell, Text) else cell_len(cell)
