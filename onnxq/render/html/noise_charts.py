"""The charts of a sensitivity: ops by their share of the noise, and along the network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from onnxq.render.html.vega import NAME, OWN_COLOR, compiled, field, layer, svg
from onnxq.verification import LOW_SQNR_DB

_LONGEST: Final = 34  # letters of the name of an op beside its bar


class Bar(NamedTuple):
    """An op and its shares of the noise, 0 to 1; `said` is what the page shows of it."""

    name: str
    activation: float
    weight: float
    said: str


class Dot(NamedTuple):
    """An op in one part of the outputs: its place among the ops, dB, a colour, what is shown."""

    position: int
    sqnr_db: float
    color: str
    said: str


def ranked(bars: Sequence[Bar]) -> str:
    """Shares of the noise as bars, in the order of `bars`: activations, then weights."""
    rows = [
        {"row": number, "x": begin, "x2": begin + share, "color": color, "name": bar.said}
        for number, bar in enumerate(bars)
        for begin, share, color in (
            (0.0, bar.activation, "var(--activations)"),
            (bar.activation, bar.weight, "var(--weights)"),
        )
    ]
    names = [{"row": number, "text": _short(bar.name)} for number, bar in enumerate(bars)]
    return svg(_compiled_ranked(), {"bars": rows, "names": names})


def along(dots: Iterable[Dot]) -> str:
    """SQNR of each op alone, in the order of the network."""
    rows = [{"x": d.position, "y": d.sqnr_db, "color": d.color, "name": d.said} for d in dots]
    return svg(_compiled_along(), {"dots": rows, "bad": [{"y": LOW_SQNR_DB}]})


def _short(name: str) -> str:
    """The end of a long name, which tells more than its beginning."""
    return name if len(name) <= _LONGEST else f"\N{HORIZONTAL ELLIPSIS}{name[1 - _LONGEST :]}"


@cache
def _compiled_ranked() -> Any:
    x = field("x", axis={"format": "~%", "tickCount": 8}, title="share of the noise")
    y = {"field": "row", "type": "ordinal", "axis": None}
    label = {"type": "text", "align": "right", "x": -6, "fontSize": 11, "color": "var(--ink)"}
    bars = {"type": "bar", "height": 12, "aria": True}
    return compiled(
        520,
        {"step": 17},
        ("bars", "names"),
        [
            layer("bars", bars, x=x, x2={"field": "x2"}, y=y, color=OWN_COLOR, description=NAME),
            layer("names", label, y=y, text={"field": "text"}),
        ],
    )


@cache
def _compiled_along() -> Any:
    x = field("x", title="ops in the order of the network", axis={"grid": False, "tickMinStep": 1},
              scale={"nice": False})  # fmt: skip
    y = field("y", title="SQNR with this op alone, dB", scale={"zero": False})
    dots = {"type": "point", "filled": True, "size": 26, "aria": True}
    return compiled(
        900,
        240,
        ("dots", "bad"),
        [
            layer("bad", {"type": "rule", "strokeDash": [5, 4], "color": "var(--bad)"}, y=y),
            layer("dots", dots, x=x, y=y, color=OWN_COLOR, description=NAME),
        ],
    )
