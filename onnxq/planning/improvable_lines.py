"""Lines of a saved plan on what `onnxq improve` may do to an op."""

from __future__ import annotations

from typing import Final

from onnxq.planning.improvers import IMPROVER_NAMES
from onnxq.planning.plan import NO_GROUP, WHOLE_OP, Because, Improvable, Line

_IMPROVE: Final = "improve:"  # instead of a descriptor, of a whole op


def line_of(op: Improvable) -> Line:
    """The line of an op; it lists no improver where none may act."""
    return Line(
        node=op.node,
        input=WHOLE_OP,
        tensor=WHOLE_OP,
        descriptor=_IMPROVE + ",".join(op.improvers),
        group=NO_GROUP,
        rule=op.because.rule,
        where=op.because.span.place,
    )


def is_one(line: Line) -> bool:
    """True for a line that `line_of` makes."""
    return line.input == WHOLE_OP and line.descriptor.startswith(_IMPROVE)


def read(line: Line, because: Because) -> Improvable | str:
    """The decision of such a line, or why it cannot be read."""
    names = [name for name in line.descriptor.removeprefix(_IMPROVE).split(",") if name]
    if unknown := [name for name in names if name not in IMPROVER_NAMES]:
        return f"there is no improver '{unknown[0]}'"
    return Improvable(
        node=line.node,
        improvers=tuple(name for name in IMPROVER_NAMES if name in names),
        because=because,
        overrides=(),
    )
