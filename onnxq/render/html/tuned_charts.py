"""The chart of a tuning: accuracy against the share of the work in INT8."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from onnxq.render.html.vega import NAME, compiled, field, layer, svg

TRIED: Final = "var(--unknown)"
FRONTIER: Final = "var(--model0)"
CHOSEN: Final = "var(--model1)"
GOAL: Final = "var(--good)"


class Spot(NamedTuple):
    """A model: its share in INT8, its figure, and what is shown of it."""

    int8: float
    figure: float
    said: str


class Trade(NamedTuple):
    """What was tried, the best of that, what was chosen, and the verdicts before and after."""

    tried: Sequence[Spot]
    frontier: Sequence[Spot]
    chosen: Sequence[Spot]
    before: Sequence[Spot]
    tuned: Sequence[Spot]


def trade(spots: Trade, least: float | None, min_int8: float, title: str) -> str:
    """Figures against shares in INT8, the goals as dashed lines; `title` is that of the figures."""
    data = {name: _rows(some) for name, some in spots._asdict().items()}
    data["least"] = [] if least is None else [{"y": least}]
    data["share"] = [{"x": min_int8}] if min_int8 else []
    return svg(_compiled(title), data)


def _rows(spots: Iterable[Spot]) -> list[dict[str, Any]]:
    return [{"x": spot.int8, "y": spot.figure, "name": spot.said} for spot in spots]


@cache
def _compiled(title: str) -> Any:
    x = field("x", title="multiply-accumulates in int8", axis={"format": "~%", "tickCount": 8},
              scale={"zero": False, "nice": False, "padding": 14})  # fmt: skip
    y = field("y", title=title, scale={"zero": False, "padding": 14})
    goal = {"type": "rule", "strokeDash": [5, 4], "color": GOAL}
    point = {"type": "point", "filled": True, "aria": True, "opacity": 1}
    ring = {"type": "point", "size": 190, "strokeWidth": 2, "color": CHOSEN}
    diamond = {"type": "point", "shape": "diamond", "size": 110, "aria": True, "opacity": 1}
    names = ("tried", "frontier", "chosen", "before", "tuned", "least", "share")
    return compiled(
        900,
        320,
        names,
        [
            layer("least", goal, y=y),
            layer("share", goal, x=x),
            layer("frontier", {"type": "line", "strokeWidth": 1.5, "color": FRONTIER}, x=x, y=y),
            layer("tried", point | {"size": 40, "color": TRIED}, x=x, y=y, description=NAME),
            layer("frontier", point | {"size": 46, "color": FRONTIER}, x=x, y=y, description=NAME),
            layer("chosen", ring, x=x, y=y),
            layer("before", diamond | {"color": CHOSEN}, x=x, y=y, description=NAME),
            layer("tuned", diamond | {"color": CHOSEN, "filled": True}, x=x, y=y,
                  description=NAME),
        ],
    )  # fmt: skip
